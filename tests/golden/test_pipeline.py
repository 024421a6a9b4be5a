"""The compiled search pipeline: what it says, that KFP takes it, and how fast it grows.

After a change on purpose: ``EVOPTIM_REFRESH_GOLDEN=1 pytest tests/golden/test_pipeline.py``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, components
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2

from evoptim.errors import InputError
from pipelines import compile_search
from pipelines.compiler import share_identical
from pipelines.profile_reading import profile_from_json, read_profile
from pipelines.search import search_pipeline

GOLDEN = Path(__file__).with_name("search_of_two_generations.yaml")
ROOT = Path(__file__).resolve().parents[2]


def without_kfp_version(text):
    ir = yaml.safe_load(text)
    # Any kfp that the distribution allows may have compiled it.
    del ir["sdkVersion"]
    return ir


def as_kfp_compiles(generations, folder):
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(search_pipeline(generations, "evoptim:dev"), str(path))
    return yaml.safe_load(path.read_text())


def written_out(ir, name=None):
    """The pipeline as a tree, in which no component or executor is named."""
    component = dict(ir["root"] if name is None else ir["components"][name])
    if "executorLabel" in component:
        executors = ir["deploymentSpec"]["executors"]
        component["executorLabel"] = executors[component["executorLabel"]]
    if "dag" in component:
        component["dag"] = {
            **component["dag"],
            "tasks": {
                key: {**task, "componentRef": written_out(ir, task["componentRef"]["name"])}
                for key, task in component["dag"]["tasks"].items()
            },
        }
    return component


def all_tasks(ir):
    dags = [ir["root"], *ir["components"].values()]
    return [task for part in dags for task in part.get("dag", {}).get("tasks", {}).values()]


def test_the_compiled_search_equals_the_committed_one():
    text = compile_search(generations=2)
    if os.environ.get("EVOPTIM_REFRESH_GOLDEN") == "1":
        GOLDEN.write_text(text, encoding="utf-8")
    assert without_kfp_version(text) == without_kfp_version(GOLDEN.read_text(encoding="utf-8"))


def test_the_tasks_follow_one_another_as_the_search_does():
    tasks = yaml.safe_load(compile_search(generations=2))["root"]["dag"]["tasks"]
    names = {key: task["taskInfo"]["name"] for key, task in tasks.items()}
    order = {
        names[key]: {names[other] for other in task.get("dependentTasks", [])}
        for key, task in tasks.items()
    }
    assert order == {
        "initialise the run": set(),
        "generation 0": {"initialise the run"},
        "generation 1": {"generation 0"},
        "generation 2": {"generation 1"},
        "finals": {"generation 2"},
        "report": {"finals"},
    }


def test_no_task_takes_a_result_from_the_cache():
    ir = yaml.safe_load(compile_search(generations=1))
    loops = [task for task in all_tasks(ir) if "parameterIterator" in task]
    cached = [
        task for task in all_tasks(ir) if task.get("cachingOptions") != {} and task not in loops
    ]
    assert len(loops) == 2
    assert cached == []


def test_every_task_has_a_name_to_read():
    ir = yaml.safe_load(compile_search(generations=1))
    names = [task["taskInfo"]["name"] for task in all_tasks(ir)]
    assert not [name for name in names if name.startswith(("comp-", "for-loop", "exec-"))]


def test_every_task_runs_in_the_image_asked_for():
    ir = yaml.safe_load(compile_search(generations=1, image="registry.example/evoptim:1"))
    executors = ir["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {
        "registry.example/evoptim:1"
    }


@pytest.mark.parametrize("generations", [0, 1, 5])
def test_sharing_components_changes_nothing_but_their_number(generations, tmp_path):
    compiled = as_kfp_compiles(generations, tmp_path)
    shared = share_identical(compiled)
    assert written_out(shared) == written_out(compiled)
    assert share_identical(shared) == shared
    # Seven steps, two loops, two sub-pipelines.
    assert len(shared["components"]) == 11
    assert len(shared["deploymentSpec"]["executors"]) == 7


def test_a_generation_adds_less_than_600_bytes():
    # Beyond ten the number in the names has its full width, so every step is the same.
    size = {generations: len(compile_search(generations).encode()) for generations in (20, 40)}
    assert (size[40] - size[20]) / 20 < 600


def test_a_search_of_forty_generations_is_a_pipeline_that_kfp_loads():
    text = compile_search(generations=40)
    spec = pipeline_spec_pb2.PipelineSpec()
    json_format.ParseDict(yaml.safe_load(text), spec)
    assert len(spec.root.dag.tasks) == 44
    loaded = components.load_component_from_text(text)
    assert set(loaded.component_spec.inputs) == {"store", "run", "config", "candidates_per_task"}
    assert loaded.name == "evoptim-search"


def test_the_same_arguments_give_the_same_bytes_in_any_process():
    program = "import pipelines; print(pipelines.compile_search(3), end='')"
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode() == compile_search(3)


def test_a_negative_number_of_generations_is_refused():
    with pytest.raises(InputError, match="must be zero or more, got -1"):
        compile_search(generations=-1)


# With a cluster profile


GPUS = """
image: registry.example/evoptim:1
image_pull_secrets: [registry]
parallelism: 5
candidates_per_task: 4
workers:
  resources: {gpu: 1, limits: {memory: 8Gi}}
  node_selector: {gpu: l4}
  node_affinity: [{expressions: [{key: zone, values: [a, b]}]}]
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  annotations: {note: hello}
  retries: 4
  timeout_seconds: 7200
environment:
  secrets: []
  config_maps:
    - {name: region, variables: {AWS_REGION: region, AWS_DEFAULT_REGION: region}}
  literals: {EVOPTIM_WORKERS: '4'}
mounts:
  - {kind: claim, name: images, path: /data}
  - {kind: config_map, name: ca, path: /ca}
  - {kind: secret, name: aws, path: /aws}
queue: {name: gpus, priority_class: high}
security: {run_as_user: 1000}
"""
STEPS = {"initialise", "propose", "propose-finals", "select", "report"}


def on_a_cluster(fan_out, generations=1, text=GPUS):
    compiled = compile_search(generations, profile=read_profile(text), fan_out=fan_out)
    ir, platform = yaml.safe_load_all(compiled)
    return ir, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def executors_of(ir):
    return {
        name.removeprefix("exec-"): each["container"]
        for name, each in ir["deploymentSpec"]["executors"].items()
    }


@pytest.mark.parametrize("fan_out", ["loop", "job"])
def test_a_pipeline_with_a_profile_is_one_that_kfp_loads(fan_out):
    text = compile_search(2, profile=read_profile(GPUS), fan_out=fan_out)
    ir, platform = yaml.safe_load_all(text)
    json_format.ParseDict(ir, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for each in settings.values():
        json_format.ParseDict(each, KubernetesExecutorConfig())
    # One entry for each step, both here and there, however many generations use it.
    assert set(settings) == set(ir["deploymentSpec"]["executors"])
    assert len(settings) == {"loop": 7, "job": 5}[fan_out]
    loaded = components.load_component_from_text(text)
    assert loaded.component_spec.inputs["candidates_per_task"].default == 4


# By Jobs, what retries one task stands with each, and what five pods less would leave does not.
@pytest.mark.parametrize(("fan_out", "most"), [("loop", 600), ("job", 800)])
def test_a_generation_on_a_cluster_adds_few_bytes(fan_out, most):
    sizes = [
        len(compile_search(count, profile=read_profile(GPUS), fan_out=fan_out))
        for count in (11, 21)
    ]
    assert (sizes[1] - sizes[0]) / 10 < most


def test_only_training_pods_get_gpus_and_wait_in_the_queue():
    ir, settings = on_a_cluster("loop")
    containers = executors_of(ir)
    assert set(containers) == STEPS | {"evaluate", "evaluate-finals"}
    for name, container in containers.items():
        trains = name.startswith("evaluate")
        pods = settings[f"exec-{name}"]
        labels = pods["podMetadata"]["labels"]
        assert container["image"] == "registry.example/evoptim:1"
        assert ("accelerator" in container["resources"]) == trains
        assert (labels.get("kueue.x-k8s.io/queue-name") == "gpus") == trains
        assert (labels.get("kueue.x-k8s.io/priority-class") == "high") == trains
        assert (
            ("tolerations" in pods)
            == ("nodeAffinity" in pods)
            == ("nodeSelector" in pods)
            == trains
        )
        assert labels["app.kubernetes.io/component"] == ("worker" if trains else "search")
        shared = [each for each in pods["emptyDirMounts"] if each["mountPath"] == "/dev/shm"]
        assert [each["medium"] for each in shared] == ["Memory"] * trains
    accelerator = containers["evaluate"]["resources"]["accelerator"]
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert accelerator["resourceCount"] == "1"


def test_every_pod_gets_what_all_pods_get():
    for fan_out in ("loop", "job"):
        ir, settings = on_a_cluster(fan_out)
        for name, pods in settings.items():
            assert pods["imagePullSecret"][0]["secretName"] == "registry", name
            assert pods["securityContext"] == {"runAsNonRoot": True, "runAsUser": "1000"}
            assert [each["mountPath"] for each in pods["configMapAsVolume"]] == ["/ca"]
            assert [each["mountPath"] for each in pods["secretAsVolume"]] == ["/aws"]
            assert [each["mountPath"] for each in pods["pvcMount"]] == ["/data"]
            # Two variables of one key.
            variables = [
                key["envVar"] for each in pods["configMapAsEnv"] for key in each["keyToEnv"]
            ]
            assert sorted(variables) == ["AWS_DEFAULT_REGION", "AWS_REGION"]
            assert "secretAsEnv" not in pods
        for container in executors_of(ir).values():
            values = {each["name"]: each["value"] for each in container["env"]}
            assert (values["EVOPTIM_WORKERS"], values["OMP_NUM_THREADS"]) == ("4", "1")


def test_loops_run_as_many_tasks_at_a_time_as_the_profile_says():
    ir, _ = on_a_cluster("loop")
    loops = [task for task in all_tasks(ir) if "parameterIterator" in task]
    limits = [task["iteratorPolicy"]["parallelismLimit"] for task in loops]
    assert limits == [5, 5]


@pytest.mark.parametrize("fan_out", ["loop", "job"])
def test_retries_end_later_than_the_last_of_them_can(fan_out):
    ir, settings = on_a_cluster(fan_out)
    tasks = [task for task in all_tasks(ir) if "retryPolicy" in task]
    # In a Job there are the two generations, one task each.
    assert len(tasks) == {"loop": 7, "job": 6}[fan_out]
    for task in tasks:
        executor = ir["components"][task["componentRef"]["name"]]["executorLabel"]
        timeout = int(settings[executor]["activeDeadlineSeconds"])
        policy = task["retryPolicy"]
        longest = int(policy["backoffMaxDuration"].removesuffix("s"))
        assert longest > timeout * (policy["maxRetryCount"] + 1)


def test_a_job_takes_the_place_of_the_loop():
    profile = read_profile(GPUS)
    ir, settings = on_a_cluster("job")
    tasks = all_tasks(ir)
    assert not [task for task in tasks if "parameterIterator" in task]
    containers = executors_of(ir)
    around = {"initialise", "propose-finals", "report"}
    assert set(containers) == around | {"run-generation", "evaluate-finals-fanout"}
    command = containers["evaluate-finals-fanout"]
    assert command["command"] == ["evoptim", "step", "evaluate-finals-fanout"]
    watching = [
        task
        for task in tasks
        if "executorLabel" in ir["components"][task["componentRef"]["name"]]
        and "profile" in task["inputs"].get("parameters", {})
    ]
    assert len(watching) == 3
    for task in watching:
        executor = ir["components"][task["componentRef"]["name"]]["executorLabel"]
        deadline = int(settings[executor]["activeDeadlineSeconds"])
        assert deadline > profile.stage_timeout_seconds
    # No list of thousands of chunk numbers goes through KFP's database.
    (proposing,) = (task for task in tasks if task["componentRef"]["name"].startswith("comp-prop"))
    size = proposing["inputs"]["parameters"]["candidates_per_task"]
    assert size["runtimeValue"]["constant"] == 100_000


def test_by_jobs_a_generation_is_one_task_that_is_given_the_whole_profile():
    ir, _ = on_a_cluster("job", generations=1)
    root = ir["root"]
    named = {task["taskInfo"]["name"]: task for task in root["dag"]["tasks"].values()}
    assert set(named) >= {"generation 0", "generation 1"}
    for number in (0, 1):
        given = named[f"generation {number}"]["inputs"]["parameters"]
        assert given["generation"]["runtimeValue"]["constant"] == number
        assert given["profile"] == {"componentInputParameter": "profile"}
    default = root["inputDefinitions"]["parameters"]["profile"]["defaultValue"]
    assert profile_from_json(default) == read_profile(GPUS)
    generation = ir["components"][named["generation 0"]["componentRef"]["name"]]
    (metrics,) = generation["outputDefinitions"]["artifacts"].values()
    assert metrics["artifactType"]["schemaTitle"] == "system.Metrics"


def test_a_job_needs_a_profile():
    with pytest.raises(InputError, match="needs a cluster profile: give one, or choose fan_out"):
        compile_search(1, fan_out="job")


def test_without_kfp_kubernetes_a_profile_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "kfp.kubernetes", None)
    monkeypatch.delattr("kfp.kubernetes", raising=False)
    assert compile_search(0)
    with pytest.raises(InputError, match=r"pip install 'evoptim\[cluster\]'"):
        compile_search(0, profile=read_profile())


def test_what_the_user_interface_shows():
    ir = yaml.safe_load(compile_search(0))
    outputs = {
        name: {
            key: each["artifactType"]["schemaTitle"]
            for key, each in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        for name, component in ir["components"].items()
        if "executorLabel" in component
    }
    assert outputs["comp-select"] == {"metrics": "system.Metrics"}
    assert outputs["comp-report"] == {
        "champion": "system.Artifact",
        "html": "system.HTML",
        "metrics": "system.Metrics",
    }
