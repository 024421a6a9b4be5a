"""The WorkflowTemplate: what Argo and a cluster would refuse, and whole searches run by it."""

from __future__ import annotations

import copy
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import argo_checks
import jsonschema
import pytest
import tiny_run
import yaml
from argo_engine import Attempt, Engine, RefusedError, retried
from click.testing import CliRunner
from fake_kubernetes import FakeKubernetes, fake_kubernetes
from manifest_checks import pod_security
from manifest_checks.pods import Pod
from manifest_checks.schemas import closed
from tiny_run import deterministic, objects, tiny_config

from evoptim import steps
from evoptim.cli.main import main
from evoptim.config.reading import read_config
from evoptim.errors import InputError
from evoptim.evolution import generations_without_improvement
from evoptim.records import Particle, Population
from pipelines.argo import (
    DEPTH,
    EXECUTOR_ACCOUNT,
    RECURSION_LIMIT,
    TURNS,
    as_parameter,
    compile_workflow,
    search_template,
)
from pipelines.argo_pod import DISRUPTIONS
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
FAN_OUTS = ("loop", "job")

every_fan_out = pytest.mark.parametrize("fan_out", FAN_OUTS)

# Something of everything that a profile may say.
FULL_PROFILE = """
namespace: research
image: registry.example/evoptim@sha256:0123
image_pull_secrets: [registry]
parallelism: 64
workers:
  resources: {gpu: 1}
  node_selector: {gpu/model: l4}
  node_affinity: [{expressions: [{key: zone, values: [a]}], weight: 5}]
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  annotations: {team: optimizers}
mounts: [{kind: claim, name: images, path: /data, read_only: true}]
security: {run_as_user: 1000, fs_group: 1000}
queue: {name: evoptim, priority_class: high}
labels: {cost-centre: a1}
"""


def profiles() -> Iterator[ClusterProfile]:
    yield ClusterProfile()
    yield read_profile(FULL_PROFILE)


def made(fan_out: Any = "loop", profile: ClusterProfile | None = None) -> Object:
    return search_template(profile or ClusterProfile(), fan_out, tiny_config())


def template_of(workflow: Object, name: str) -> Object:
    (found,) = (each for each in workflow["spec"]["templates"] if each["name"] == name)
    return dict(found)


def pods_of(workflow: Object) -> list[Object]:
    return [each for each in workflow["spec"]["templates"] if "container" in each]


# What is written


@pytest.fixture(scope="module")
def schema(schema_folder: Path) -> Object:
    """Argo's schema, with unknown fields refused and numbers allowed where Kubernetes does."""
    path = schema_folder / "argo-workflows.schema.json"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    found: Object = closed(json.loads(path.read_text(encoding="utf-8")))
    found["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {
        "type": ["string", "integer"]
    }
    kind = "io.argoproj.workflow.v1alpha1.WorkflowTemplate"
    return {"$ref": f"#/definitions/{kind}", "definitions": found["definitions"]}


@pytest.fixture(scope="module")
def schema_folder() -> Path:
    import os

    folder = os.environ.get("EVOPTIM_SCHEMA_DIR")
    if not folder:
        pytest.skip("EVOPTIM_SCHEMA_DIR names no folder with Argo's schema")
    return Path(folder)


def refused(schema: Object, workflow: Object) -> list[str]:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(workflow)
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in errors]


@every_fan_out
def test_the_schema_of_argo_takes_it(schema: Object, fan_out: str) -> None:
    for profile in profiles():
        assert refused(schema, made(fan_out, profile)) == []


def spoil_field(workflow: Object) -> None:
    workflow["spec"]["parallellism"] = 3


def spoil_type(workflow: Object) -> None:
    workflow["spec"]["parallelism"] = "3"


def spoil_container(workflow: Object) -> None:
    pods_of(workflow)[0]["container"]["argss"] = []


def spoil_retry(workflow: Object) -> None:
    pods_of(workflow)[0]["retryStrategy"]["backoff"]["maximum"] = "1h"


def spoil_task(workflow: Object) -> None:
    del template_of(workflow, "search")["dag"]["tasks"][0]["name"]


@pytest.mark.parametrize(
    "spoil", [spoil_field, spoil_type, spoil_container, spoil_retry, spoil_task]
)
def test_the_schema_refuses_what_is_wrong(schema: Object, spoil: Callable[[Object], None]) -> None:
    workflow = copy.deepcopy(made())
    spoil(workflow)
    assert len(refused(schema, workflow)) == 1


@every_fan_out
def test_references_lead_somewhere(fan_out: str) -> None:
    for profile in profiles():
        assert argo_checks.problems(made(fan_out, profile)) == []


def drop_template(workflow: Object) -> None:
    workflow["spec"]["templates"].remove(template_of(workflow, "select"))


def forget_argument(workflow: Object) -> None:
    del template_of(workflow, "generation")["steps"][1][0]["arguments"]["parameters"][1]


def misspell_parameter(workflow: Object) -> None:
    template_of(workflow, "report")["container"]["args"][3] = "{{workflow.parameters.shop}}"


def misspell_input(workflow: Object) -> None:
    template_of(workflow, "evaluate")["container"]["args"].append("{{inputs.parameters.chunks}}")


def misspell_output(workflow: Object) -> None:
    task = template_of(workflow, "generations")["dag"]["tasks"][1]
    task["when"] = task["when"].replace("parameters.next", "parameters.following")


def ask_a_task_not_waited_for(workflow: Object) -> None:
    tasks = template_of(workflow, "generations")["dag"]["tasks"]
    tasks[3]["arguments"] = tasks[2]["arguments"]


def ask_a_loop_for_one_result(workflow: Object) -> None:
    group = template_of(workflow, "generation")["steps"][2]
    group[0]["when"] = "'{{steps.train.outputs.result}}' != ''"


def use_an_item_outside_of_a_loop(workflow: Object) -> None:
    del template_of(workflow, "generation")["steps"][1][0]["withParam"]


def ask_the_status_too_early(workflow: Object) -> None:
    template_of(workflow, "propose")["container"]["args"].append("{{workflow.status}}")


def close_a_circle_of_tasks(workflow: Object) -> None:
    template_of(workflow, "search")["dag"]["tasks"][0]["depends"] = "generations.Succeeded"


def close_a_circle_of_templates(workflow: Object) -> None:
    template_of(workflow, "generation")["steps"][0].append(
        {
            "name": "again",
            "template": "generations",
            "arguments": {"parameters": [{"name": "generation", "value": "003"}]},
        }
    )


def recurse_without_end(workflow: Object) -> None:
    del template_of(workflow, "generations")["dag"]["tasks"][-1]["when"]


def leave_a_template_over(workflow: Object) -> None:
    template_of(workflow, "finish")["steps"][0].clear()


def name_two_alike(workflow: Object) -> None:
    workflow["spec"]["templates"].append(template_of(workflow, "select"))


def lose_the_exit(workflow: Object) -> None:
    workflow["spec"]["onExit"] = "finished"


def misspell_the_mutex(workflow: Object) -> None:
    workflow["spec"]["synchronization"]["mutexes"][0]["name"] = "{{workflow.parameters.name}}"


def misspell_the_retry(workflow: Object) -> None:
    pods_of(workflow)[0]["retryStrategy"]["expression"] = "lastRetry.code != '2'"


SPOILED = {
    drop_template: "calls no template 'select'",
    forget_argument: "gives evaluate ['generation'], which takes ['chunk', 'generation']",
    misspell_parameter: "report: refers to 'workflow.parameters.shop'",
    misspell_input: "evaluate: refers to 'inputs.parameters.chunks'",
    misspell_output: "refers to 'tasks.turn-01.outputs.parameters.following'",
    ask_a_task_not_waited_for: "turn-04 refers to 'tasks.turn-02.outputs.parameters.next'",
    ask_a_loop_for_one_result: "refers to 'steps.train.outputs.result'",
    use_an_item_outside_of_a_loop: "train refers to 'item'",
    ask_the_status_too_early: "propose: refers to 'workflow.status'",
    close_a_circle_of_tasks: "tasks wait for each other: initialise → generations → initialise",
    close_a_circle_of_templates: "templates call each other: generations → generation",
    recurse_without_end: "calls itself without end",
    leave_a_template_over: "report: nobody calls it",
    name_two_alike: "2 templates have this name",
    lose_the_exit: "onExit: no template 'finished'",
    misspell_the_mutex: "the workflow refers to 'workflow.parameters.name'",
    misspell_the_retry: "knows no ['lastRetry.code']",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_the_checks_find_what_is_wrong(spoil: Callable[[Object], None]) -> None:
    workflow = copy.deepcopy(made())
    spoil(workflow)
    assert SPOILED[spoil] in "; ".join(argo_checks.problems(workflow))


def test_no_other_recursion_is_taken_for_the_intended_one() -> None:
    found = argo_checks.problems(made(), recursive=())
    assert found == ["templates call each other: generations → generations"]


@every_fan_out
def test_the_text_is_the_template(fan_out: Any) -> None:
    config = tiny_config()
    text = compile_workflow(config, ClusterProfile(), fan_out)
    assert yaml.safe_load(text) == search_template(ClusterProfile(), fan_out, config)
    assert text == compile_workflow(config, ClusterProfile(), fan_out)
    assert " &id" not in text
    assert "# argo -n evoptim submit --from workflowtemplate/evoptim-search" in text


@every_fan_out
def test_pods_are_restricted(fan_out: str) -> None:
    for profile in profiles():
        for template in pods_of(made(fan_out, profile)):
            spec = {**template, "containers": [template["container"]]}
            assert pod_security.problems(Pod(template["name"], {}, spec)) == []


@every_fan_out
def test_only_pods_that_do_not_train_have_a_token(fan_out: str) -> None:
    given = {
        each["name"]: (each["serviceAccountName"], each["automountServiceAccountToken"])
        for each in pods_of(made(fan_out))
    }
    workers = {"evaluate", "evaluate-baselines"} if fan_out == "loop" else set()
    for name, found in given.items():
        wanted = ("evoptim-worker", False) if name in workers else ("evoptim-search", True)
        assert found == wanted, name


def test_the_executor_has_the_account_that_the_manifests_make() -> None:
    text = (ROOT / "manifests/components/argo/access.yaml").read_text(encoding="utf-8")
    accounts = [
        each["metadata"]["name"]
        for each in yaml.safe_load_all(text)
        if each["kind"] == "ServiceAccount"
    ]
    assert made()["spec"]["executor"] == {"serviceAccountName": EXECUTOR_ACCOUNT}
    assert accounts == [EXECUTOR_ACCOUNT]


def test_the_queue_takes_pods_that_train_and_no_others() -> None:
    profile = read_profile(FULL_PROFILE)
    queued = {
        fan_out: [
            each["name"]
            for each in pods_of(made(fan_out, profile))
            if "kueue.x-k8s.io/queue-name" in each["metadata"]["labels"]
        ]
        for fan_out in FAN_OUTS
    }
    # A Job is queued by the label that its watcher gives it.
    assert queued == {"loop": ["evaluate-baselines", "evaluate"], "job": []}


def test_the_watching_pod_may_run_as_long_as_its_job() -> None:
    profile = ClusterProfile()
    for name in ("evaluate", "evaluate-baselines"):
        found = template_of(made("job"), name)["activeDeadlineSeconds"]
        assert found == profile.watch_timeout_seconds()
        found = template_of(made("loop"), name)["activeDeadlineSeconds"]
        assert found == profile.workers.timeout_seconds


def test_the_whole_profile_reaches_the_driver_of_the_job() -> None:
    profile = read_profile(settings={"environment.literals": {"NOTE": "$(HOME) costs $$"}})
    arguments = template_of(made("job", profile), "evaluate")["container"]["args"]
    text = arguments[arguments.index("--profile-json") + 1]
    assert "$(" not in text
    assert ClusterProfile.model_validate_json(text) == profile


def test_a_profile_that_argo_would_change_is_refused() -> None:
    profile = read_profile(settings={"annotations": {"note": "{{workflow.name}}"}})
    with pytest.raises(InputError, match=r"the profile holds \{\{"):
        made(profile=profile)


def test_a_parameter_reaches_its_container_as_it_was() -> None:
    path = "/data/{{{workflow.name}}/$(HOME)/{{{{"
    written = as_parameter(json.dumps({"data": path, "nested": {"a": {"b": {}}}}))
    assert "{{" not in written
    assert "$(" not in written
    assert json.loads(written)["data"] == path


# When a pod is replaced

R = 2
EVICTED = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi."
OFTEN = R + 5


@pytest.mark.parametrize(
    ("attempt", "attempts", "again"),
    [
        pytest.param(Attempt(1), 1, True, id="infrastructure"),
        pytest.param(Attempt(1), R, True, id="infrastructure-last"),
        pytest.param(Attempt(1), R + 1, False, id="infrastructure-enough"),
        pytest.param(
            Attempt(1, message="main: Error (exit code 1): error: the store is unresponsive"),
            *(R + 1, False),
            id="infrastructure-in-other-words",
        ),
        pytest.param(Attempt(2), 1, False, id="mistake"),
        pytest.param(Attempt(2, message=EVICTED), 1, False, id="mistake-and-evicted"),
        pytest.param(Attempt(139, message="main: Error (exit code 139)"), 1, True, id="crash"),
        pytest.param(Attempt(139), OFTEN, False, id="crash-enough"),
        pytest.param(Attempt(None, message="pod deleted", phase="Error"), OFTEN, True, id="gone"),
        pytest.param(Attempt(None, message=EVICTED), OFTEN, True, id="evicted"),
        pytest.param(
            Attempt(None, message="Preempted in order to admit critical pod"),
            *(OFTEN, True),
            id="preempted",
        ),
        pytest.param(
            Attempt(130, message="main: Error (exit code 130): error: interrupted"),
            *(OFTEN, True),
            id="told-to-end",
        ),
        pytest.param(Attempt(143, message="main: Error (exit code 143)"), OFTEN, True, id="term"),
        pytest.param(Attempt(137, message="main: Error (exit code 137)"), OFTEN, True, id="kill"),
        pytest.param(Attempt(137, message="main: OOMKilled (exit code 137)"), 1, True, id="memory"),
        pytest.param(
            Attempt(137, message="main: OOMKilled (exit code 137)"),
            *(R + 1, False),
            id="memory-enough",
        ),
        pytest.param(
            Attempt(143, message="Pod was active on the node longer than the specified deadline"),
            *(R + 1, False),
            id="time-enough",
        ),
        pytest.param(
            Attempt(None, message="Pod ephemeral local storage usage exceeds the total limit"),
            *(R + 1, False),
            id="disk-enough",
        ),
        pytest.param(
            Attempt(None, message='pods "x" is forbidden: violates PodSecurity', phase="Error"),
            *(R + 1, False),
            id="forbidden-enough",
        ),
    ],
)
def test_retries_tell_disruptions_from_failures(
    attempt: Attempt, attempts: int, again: bool
) -> None:
    profile = read_profile(settings={"workers.retries": R})
    strategy = template_of(made(profile=profile), "evaluate")["retryStrategy"]
    assert retried(strategy["expression"], attempt, attempts) is again
    assert strategy["limit"] == str(R + DISRUPTIONS)
    assert strategy["retryPolicy"] == "Always"


# Whole searches


class Pods:
    """The cluster: runs every container's command here, and fails as it is told."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.ran: list[list[str]] = []
        self.outputs: list[tuple[str, str]] = []
        # Template, chunk or None for any: what becomes of its pods, first one first.
        self.failures: dict[tuple[str, str | None], list[Attempt | None]] = {}
        self.after: set[tuple[str, str | None]] = set()

    def __call__(self, name: str, arguments: list[str], attempts: int) -> Attempt:
        chunk = arguments[arguments.index("--chunk") + 1] if "--chunk" in arguments else None
        told = self.failures.get((name, chunk)) or self.failures.get((name, None)) or []
        failure = told.pop(0) if told else None
        if failure is not None and (name, chunk) not in self.after:
            return failure
        self.ran.append(arguments)
        result = CliRunner().invoke(main, arguments)
        self.outputs.append((name, result.output))
        return failure or Attempt(result.exit_code, result.stdout, result.stderr)

    def chunks(self, name: str) -> list[str]:
        """The chunks that a step was run for."""
        return [each[each.index("--chunk") + 1] for each in self.ran if each[1:2] == [name]]


Search = Callable[..., Engine]


@pytest.fixture
def pods(tmp_path: Path, image_cache: None) -> Iterator[Pods]:
    before = signal.getsignal(signal.SIGTERM)
    yield Pods(tmp_path / "store")
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def search(pods: Pods) -> Search:
    """Makes a workflow of the tiny run."""

    def make(
        profile: ClusterProfile | None = None,
        fan_out: Any = "loop",
        parameters: dict[str, str] | None = None,
        **changes: Any,
    ) -> Engine:
        workflow = search_template(profile or ClusterProfile(), fan_out, tiny_config(**changes))
        given = {"store": str(pods.store), "run": "tiny", **(parameters or {})}
        return Engine(workflow, pods, **given)

    return make


def archive(store: Path) -> bytes:
    return (store / "runs/tiny/report/archive.json").read_bytes()


def assert_same_run(store: Path, wanted: Path) -> None:
    assert deterministic(store) == deterministic(wanted)
    assert archive(store) == archive(wanted)


def test_a_search_gives_the_archive_of_the_steps(
    search: Search, pods: Pods, finished: Path
) -> None:
    engine = search()
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert engine.mutexes == ["evoptim-tiny"]
    assert engine.log[-2:] == ["report Succeeded", "tell skipped"]
    # One pod for each evaluation, and no other training.
    assert sorted(pods.chunks("evaluate"), key=int) == [*"00112233", "4"]
    assert pods.chunks("evaluate-baselines") == ["0", "1"]
    assert engine.deepest == 4


@pytest.mark.slow
def test_a_search_gives_the_archive_of_evoptim_search(
    search: Search, pods: Pods, tmp_path: Path
) -> None:
    from evoptim.verbs import search as search_verb

    assert search().run() == "Succeeded"
    search_verb(tiny_config(), "tiny", str(tmp_path / "local"))
    assert_same_run(pods.store, tmp_path / "local")


def test_pods_are_labelled_by_run_and_stage(search: Search) -> None:
    engine = search(parameters={"candidates_per_task": "9"})
    assert engine.run() == "Succeeded"
    assert {each["evoptim.dev/run"] for each in engine.labels} == {"tiny"}
    stages = [each.get("evoptim.dev/stage") for each in engine.labels]
    assert stages == [None, *["baselines"] * 2, *["g000"] * 3, *["g001"] * 3, None]
    components = [each["app.kubernetes.io/component"] for each in engine.labels]
    assert components.count("worker") == 3


def test_failures_of_the_cluster_change_nothing(search: Search, pods: Pods, finished: Path) -> None:
    gone = Attempt(None, message="pod deleted", phase="Error")
    pods.failures = {
        ("initialise", None): [Attempt(1)],
        ("propose", None): [gone, gone, gone, gone],
        ("evaluate", "1"): [Attempt(1), Attempt(137, message="OOMKilled")],
        ("evaluate", "2"): [gone, Attempt(143, message="main: Error (exit code 143)")],
        ("select", None): [Attempt(1, message="error: the store does not answer")],
        ("report", None): [gone],
    }
    # This one does all its work before it is lost.
    pods.after = {("evaluate", "2"), ("propose", None)}
    engine = search()
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert not any(pods.failures.values())
    assert engine.pauses[:3] == [30.0, 30.0, 60.0]


def test_a_mistake_is_not_tried_again(search: Search, pods: Pods) -> None:
    engine = search(parameters={"config": "{}"})
    assert engine.run() == "Failed"
    assert engine.log == ["initialise Failed", "report skipped", "report Succeeded"]
    (told,) = (text for name, text in pods.outputs if name == "report")
    assert "not reported: there is no run 'tiny'" in told


LOST = [Attempt(1, message="error: the data are gone")] * 50


def test_a_lost_chunk_does_not_vanish(search: Search, pods: Pods, finished: Path) -> None:
    pods.failures = {("evaluate", "3"): list(LOST)}
    engine = search()
    assert engine.run() == "Failed"
    workers = ClusterProfile().workers
    assert engine.log.count("evaluate Failed") == workers.retries + 1
    assert any("1 of 5 evaluations are missing (3)" in text for _, text in pods.outputs)
    name, told = pods.outputs[-1]
    assert name == "report"
    assert "the run 'tiny' is unfinished: 0 of 2 generations are selected" in told
    assert not (pods.store / "runs/tiny/report").exists()
    assert not (pods.store / "runs/tiny/generations/000/population.json").exists()
    # The next workflow trains what is missing, and nothing twice.
    pods.failures, pods.ran = {}, []
    assert search().run() == "Succeeded"
    assert pods.chunks("evaluate")[0] == "3"
    assert len(pods.chunks("evaluate")) == 1 + 4
    assert pods.chunks("evaluate-baselines") == []
    assert_same_run(pods.store, finished)


def test_a_lost_chunk_may_be_missing_as_the_run_allows(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate", "4"): list(LOST)}
    assert search(max_missing_fraction=0.2).run() == "Succeeded"
    entries = json.loads(archive(pods.store))["entries"]
    assert [each["outcome"] for each in entries].count("missing") == 1


def test_a_lost_baseline_is_missed_by_the_report(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate-baselines", "1"): list(LOST)}
    engine = search()
    assert engine.run() == "Failed"
    assert "select Succeeded" in engine.log
    assert any("1 of 2 evaluations are missing (1)" in text for _, text in pods.outputs)
    pods.failures = {}
    assert search().run() == "Succeeded"


def test_a_report_that_fails_fails_the_workflow(search: Search, pods: Pods, finished: Path) -> None:
    pods.failures = {("report", None): list(LOST)}
    assert search().run() == "Failed"
    pods.failures, pods.ran = {}, []
    engine = search()
    assert engine.run() == "Succeeded"
    assert "generations skipped" in engine.log
    assert pods.chunks("evaluate") == []
    assert_same_run(pods.store, finished)


def test_a_finished_search_does_nothing_more(search: Search, pods: Pods) -> None:
    assert search().run() == "Succeeded"
    before, pods.ran = objects(pods.store), []
    engine = search()
    assert engine.run() == "Succeeded"
    assert objects(pods.store) == before
    assert "generations skipped" in engine.log
    assert [each[1] for each in pods.ran] == ["initialise", "propose-baselines", "report"]


def test_a_search_goes_on_where_another_engine_left_it(
    search: Search, pods: Pods, finished: Path
) -> None:
    tiny_run.start(pods.store)
    tiny_run.generation(pods.store, 0)
    assert search().run() == "Succeeded"
    proposed = [each for each in pods.ran if each[1] == "propose"]
    assert [each[each.index("--generation") + 1] for each in proposed] == ["001"]
    assert_same_run(pods.store, finished)


# Early stopping

# With this seed generation 1 finds nothing better than generation 0.
LONG = {"search__generations": 3, "seed": 0, "baselines": ["sgd"]}


def bests(store: Path, generations: int) -> list[float]:
    found = []
    for number in range(generations):
        path = store / f"runs/tiny/generations/{number:03d}/population.json"
        particles = json.loads(path.read_text())["particles"]
        found.append(max(each["fitness"] for each in particles))
    return found


def generations_of(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "runs/tiny/generations").iterdir())


def stop_after(values: list[float], patience: int) -> int:
    """The last generation of a search with these bests; written out a second time, plainly."""
    for last in range(len(values)):
        if last >= patience and max(values[: last + 1]) <= max(values[: last + 1 - patience]):
            return last
    return len(values) - 1


def test_a_search_without_progress_ends_early(search: Search, pods: Pods, tmp_path: Path) -> None:
    full = tmp_path / "full"
    tiny_run.start(full, **LONG)
    tiny_run.finish(full, generations=3)
    last = stop_after(bests(full, 4), 1)
    assert last < 3, "another seed is needed"

    engine = search(parameters={"patience": "1"}, **LONG)
    assert engine.run() == "Succeeded"
    assert generations_of(pods.store) == [f"{number:03d}" for number in range(last + 1)]
    # Up to there it is the same search.
    whole, found = deterministic(full), deterministic(pods.store)
    assert {name: whole[name] for name in found if "report/" not in name} == {
        name: text for name, text in found.items() if "report/" not in name
    }
    entries = json.loads(archive(pods.store))["entries"]
    assert {each["generation"] for each in entries} == set(range(last + 1))

    # Its end stands, also for those who have more patience.
    before = objects(pods.store)
    assert search(parameters={"patience": "0"}, **LONG).run() == "Succeeded"
    assert objects(pods.store) == before


def test_an_early_end_is_the_same_after_an_interruption(
    search: Search, pods: Pods, tmp_path: Path
) -> None:
    pods.failures = {("report", None): list(LOST)}
    assert search(parameters={"patience": "1"}, **LONG).run() == "Failed"
    ended = generations_of(pods.store)
    assert len(ended) < 4
    pods.failures = {}
    # Not finished for somebody with more patience: nothing is reported too early.
    with pytest.raises(InputError, match="unfinished"):
        steps.report(str(pods.store), "tiny")
    assert search(parameters={"patience": "1"}, **LONG).run() == "Succeeded"
    assert generations_of(pods.store) == ended


def test_what_is_begun_is_finished_before_an_early_end(search: Search, pods: Pods) -> None:
    tiny_run.start(pods.store, **LONG)
    for number in (0, 1):
        tiny_run.generation(pods.store, number)
    assert steps.next_turn(str(pods.store), "tiny", 1) == "end"
    steps.propose(str(pods.store), "tiny", 2, 3)
    assert steps.next_turn(str(pods.store), "tiny", 1) == "002"
    assert search(parameters={"patience": "1"}, **LONG).run() == "Succeeded"
    assert (pods.store / "runs/tiny/generations/002/population.json").exists()


def test_scores_of_another_protocol_are_no_measure_of_progress(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_config(**LONG)
    first = plain.protocol.model_copy(update={"seeds": (3,)})
    config = plain.model_copy(update={"initial_protocol": first})
    steps.initialise(str(pods.store), "tiny", config.model_dump_json())
    for number in (0, 1):
        tiny_run.generation(pods.store, number)
    # However much worse generation 1 looks, it is the first under the run's own protocol.
    path = pods.store / "runs/tiny/generations/000/population.json"
    population = Population.model_validate_json(path.read_bytes())
    better = [each.model_copy(update={"fitness": 1.0}) for each in population.particles]
    changed = population.model_copy(update={"particles": tuple(better)})
    path.unlink()
    path.write_text(changed.model_dump_json())
    assert steps.next_generation(str(pods.store), "tiny", 1) == 2


@pytest.mark.parametrize(
    ("bests", "since"),
    [
        ([], 0),
        ([0.5], 0),
        ([None], 0),
        ([0.5, 0.6], 0),
        ([0.5, 0.5], 1),
        ([0.5, 0.4, 0.45], 2),
        ([0.5, 0.4, 0.51, 0.2], 1),
        ([None, None], 1),
        ([None, 0.1], 0),
        ([0.1, None], 1),
    ],
)
def test_generations_without_improvement(bests: list[float | None], since: int) -> None:
    def population(number: int, best: float | None) -> Population:
        particles = [
            Particle(
                particle=place,
                id="a",
                formula="g",
                gene={},
                fitness=fitness,
                validation_loss=None,
                generation=number,
            )
            for place, fitness in enumerate((None, best))
        ]
        return Population(generation=number, particles=tuple(particles))

    found = generations_without_improvement(
        [population(number, best) for number, best in enumerate(bests)]
    )
    assert found == since


# Many generations


class Counting:
    """Pods of a run with so many generations, which train nothing."""

    def __init__(self, generations: int) -> None:
        self.last = generations
        self.seen: list[int] = []

    def __call__(self, name: str, arguments: list[str], attempts: int) -> Attempt:
        if name == "initialise":
            return Attempt(out="000\n")
        if name.startswith("propose"):
            return Attempt(out="[0, 1]")
        if name == "select":
            number = int(arguments[arguments.index("--generation") + 1])
            self.seen.append(number)
            return Attempt(out="end" if number == self.last else f"{number + 1:03d}")
        return Attempt()


@pytest.mark.parametrize("generations", [0, TURNS - 1, TURNS, 2 * TURNS, 999])
def test_every_generation_is_done_once(generations: int) -> None:
    pods = Counting(generations)
    engine = Engine(made(), pods, store="s", run="tiny")
    assert engine.run() == "Succeeded"
    assert pods.seen == list(range(generations + 1))
    assert engine.deepest == 3 + generations // TURNS + 1


def test_the_longest_run_stays_below_the_limit_of_recursion() -> None:
    engine = Engine(made(), Counting(999), store="s", run="tiny", limit=RECURSION_LIMIT)
    assert engine.run() == "Succeeded"
    assert engine.deepest == DEPTH < RECURSION_LIMIT - 10
    with pytest.raises(RefusedError, match="recursion"):
        Engine(made(), Counting(999), store="s", run="tiny", limit=DEPTH).run()


# By Indexed Jobs


@pytest.fixture
def kube(pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """A cluster whose Jobs train."""

    def run(job: Object) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        arguments = container["args"]
        given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        size = int(given["--candidates-per-task"])

        def task(index: int, environment: dict[str, str]) -> int:
            if arguments[1] == "evaluate":
                number = int(given["--generation"])
                steps.evaluate(given["--store"], given["--run"], number, index, size)
            else:
                steps.evaluate_baselines(given["--store"], given["--run"], index, size)
            return 0

        kube.run_indices(job, task)

    with fake_kubernetes() as kube:
        kube.on_create = lambda job: threading.Thread(target=run, args=(job,)).start()
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path)))
        yield kube


def test_a_search_by_jobs_gives_the_same_archive(
    search: Search, pods: Pods, finished: Path, kube: FakeKubernetes
) -> None:
    gone = Attempt(None, message="pod deleted", phase="Error")
    pods.failures = {("evaluate", None): [gone]}
    engine = search(fan_out="job")
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert [job["spec"]["completions"] for job in kube.created] == [2, 5, 4]
    assert pods.chunks("evaluate") == []


# The command


@every_fan_out
def test_the_command_writes_the_template(tmp_path: Path, fan_out: str, pods: Pods) -> None:
    profile, output = tmp_path / "profile.yaml", tmp_path / "search.yaml"
    profile.write_text(f"fan_out: {fan_out}\nnamespace: research\n")
    told = CliRunner().invoke(
        main,
        [
            *("compile", "--target", "argo", "--profile", str(profile), "-o", str(output)),
            *("--set", "search.generations=3"),
        ],
    )
    assert told.exit_code == 0, told.output
    written = yaml.safe_load(output.read_text(encoding="utf-8"))
    config = read_config(settings={"search.generations": 3})
    wanted = read_profile(f"fan_out: {fan_out}\nnamespace: research\n")
    assert written == search_template(wanted, fan_out, config)  # type: ignore[arg-type]
    assert "workflow at its end" in told.output


def test_the_command_needs_no_profile(pods: Pods) -> None:
    told = CliRunner().invoke(main, ["compile", "--target", "argo", "--image", "registry/e:1"])
    assert told.exit_code == 0, told.output
    written = yaml.safe_load(told.stdout)
    assert {each["container"]["image"] for each in pods_of(written)} == {"registry/e:1"}


def test_the_command_chooses_jobs_where_a_loop_does_not_fit(tmp_path: Path, pods: Pods) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("fan_out: auto\n")
    arguments = ["compile", "--target", "argo", "--profile", str(profile)]
    told = CliRunner().invoke(main, [*arguments, "--set", "search.initial=20000"])
    assert "evaluate-fanout" in told.stdout
    assert "evaluate-fanout" not in CliRunner().invoke(main, arguments).stdout


def test_the_command_refuses_a_loop_that_does_not_fit(tmp_path: Path, pods: Pods) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("fan_out: loop\n")
    told = CliRunner().invoke(
        main,
        [
            *("compile", "--target", "argo", "--profile", str(profile)),
            *("--set", "search.initial=20000"),
        ],
    )
    assert told.exit_code == 2
    assert "exceeds the limit of 1,048,576" in told.stderr
