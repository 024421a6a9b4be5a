"""What a search will ask of a cluster: the counts, the refusals and their remedies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from evoptim.cli.main import main
from evoptim.config import RunConfig
from evoptim.config.reading import read_config
from evoptim.errors import InputError
from pipelines import compile_search
from pipelines.preflight import (
    WORKFLOW_LIMIT,
    check_plan,
    make_plan,
    plan_text,
    problems,
    with_fan_out,
)
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile


def config(**changes: Any) -> RunConfig:
    named = {f"search.{name}": value for name, value in changes.items()}
    return read_config(settings={"search.initial": 40, **named})


# For what does not depend on the pipeline: to compile one takes seconds under pytest, because kfp
# looks through the whole stack of callers for each task.
COMPILED = "x" * 40_000


def profile(**settings: Any) -> ClusterProfile:
    return read_profile(settings=settings)


@pytest.mark.parametrize("fan_out", ["loop", "job"])
def test_the_size_of_the_pipeline_is_that_of_the_compiled_one(fan_out: str) -> None:
    asked = config(generations=3)
    plan = make_plan(asked, profile(fan_out=fan_out))
    text = compile_search(3, profile=profile(fan_out=fan_out), fan_out=fan_out)
    # The profile that a Job's task carries says "job" either way.
    assert plan.ir_bytes == len(text.encode())


def test_pods_of_a_loop_are_three_for_each_task_and_six_around_them() -> None:
    plan = make_plan(config(initial=40, generations=0), profile(fan_out="loop"))
    by_name = {stage.name: stage for stage in plan.stages}
    assert by_name["generation 0"].workflow_pods == 3 * 40 + 6
    assert plan.pods == sum(stage.workflow_pods for stage in plan.stages)
    assert all(stage.job_pods == 0 for stage in plan.stages)


def test_a_generation_in_a_job_is_two_pods_of_the_workflow_whatever_it_holds() -> None:
    small, large = (
        make_plan(config(initial=size, generations=2), profile(fan_out="job"))
        for size in (40, 40_000)
    )
    assert [stage.workflow_pods for stage in small.stages][:-1] == [2, 2, 2]
    assert small.workflow_bytes == pytest.approx(large.workflow_bytes, abs=100)
    assert large.stages[0].job_pods == 40_000


def test_pods_are_those_that_the_compiled_pipeline_starts() -> None:
    """Walks the IR as KFP's drivers do, each loop being run once for each of its chunks."""
    asked = read_config(
        settings={
            "search.initial": 10,
            "search.particles": 3,
            "search.children": 2,
            "search.generations": 2,
            "baselines": ["sgd", "adam"],
        }
    )
    for fan_out in ("loop", "job"):
        how = profile(fan_out=fan_out, candidates_per_task=3)
        ir, _ = yaml.safe_load_all(compile_search(2, profile=how, fan_out=fan_out))
        plan = make_plan(asked, how)
        # In the order of their names: the finals, then the generations.
        chunks = iter([stage.chunks for stage in (plan.stages[-1], *plan.stages[:-1])])

        def pods(component: dict[str, Any], ir: Any = ir, chunks: Any = chunks) -> int:
            if "executorLabel" in component:
                return 2
            count = 1
            for _, task in sorted(component["dag"]["tasks"].items()):
                inner = ir["components"][task["componentRef"]["name"]]
                if "parameterIterator" in task:
                    count += 1 + next(chunks) * pods(inner)
                else:
                    count += pods(inner)
            return count

        assert plan.pods - sum(stage.job_pods for stage in plan.stages) == pods(ir["root"])


def test_a_small_search_is_a_loop_and_a_large_one_a_job() -> None:
    assert make_plan(config(initial=20, generations=1), profile()).fan_out == "loop"
    large = make_plan(config(initial=10_000, generations=1), profile())
    assert large.fan_out == "job"
    assert problems(large) == ()
    assert with_fan_out(profile(), large).fan_out == "job"


def test_a_loop_that_cannot_fit_is_refused_with_a_remedy_that_works() -> None:
    asked = config(initial=600, generations=0)
    plan = make_plan(asked, profile(fan_out="loop"))
    with pytest.raises(InputError, match=r"exceeds the limit of 1,048,576: set fan_out to job, or"):
        check_plan(plan)
    (problem, *_) = problems(plan)
    found = re.search(r"candidates_per_task to at least (\d+)", problem.remedy)
    assert found
    size = int(found[1])
    assert problems(make_plan(asked, profile(fan_out="loop", candidates_per_task=size))) == ()
    smaller = make_plan(asked, profile(fan_out="loop", candidates_per_task=size - 1))
    assert smaller.workflow_bytes > WORKFLOW_LIMIT
    assert problems(make_plan(asked, profile(fan_out="job"))) == ()


@pytest.mark.slow
def test_too_many_generations_are_refused_with_a_remedy_that_works() -> None:
    with pytest.raises(InputError, match=r"lower search\.generations to \d+") as refusal:
        check_plan(make_plan(config(generations=450), profile(fan_out="job")))
    found = re.search(r"search\.generations to (\d+)", str(refusal.value))
    assert found
    assert 300 < int(found[1]) < 450
    check_plan(make_plan(config(generations=int(found[1])), profile(fan_out="job")))


def test_a_pod_that_is_ended_before_its_evaluations_may_end_is_refused() -> None:
    asked = read_config(settings={"protocol.timeout_seconds": 3600.0})
    check_plan(make_plan(asked, profile(candidates_per_task=6), compiled=COMPILED))
    with pytest.raises(
        InputError, match=r"25,200 exceeds the limit of 21,600: raise workers\.time"
    ):
        check_plan(make_plan(asked, profile(candidates_per_task=7), compiled=COMPILED))
    two_at_a_time = {"candidates_per_task": 7, "environment.literals": {"EVOPTIM_WORKERS": "2"}}
    check_plan(make_plan(asked, read_profile(settings=two_at_a_time), compiled=COMPILED))


def test_an_argument_that_no_process_can_take_is_refused() -> None:
    # 40,000 chunk numbers in one list.
    plan = make_plan(
        config(initial=40_000, generations=0), profile(fan_out="loop"), compiled=COMPILED
    )
    assert plan.argument_bytes > 128 * 1024
    assert any("argument" in problem.what for problem in problems(plan))


def test_quota_counts_what_runs_at_a_time() -> None:
    asked = read_config(settings={"search.initial": 40, "baselines": ["sgd", "adam"]})
    how = profile(**{"fan_out": "job", "parallelism": 16, "workers.resources.gpu": 1})
    quota = make_plan(asked, how, compiled=COMPILED).quota
    # 16 of generation 0; a step and its driver. In the pods of the workflow, which are not those of
    # Jobs, there is a container of Argo's too.
    assert (quota.pods, quota.gpus) == (16 + 1 + 1, 16)
    assert float(quota.cpu_requests) == pytest.approx(16 * 1 + 0.25 + 0.1 + 2 * 0.1)
    assert quota.memory_limits == (16 * 2 + 4) * 2**30 + (1 + 2) * 512 * 2**20
    loop = make_plan(asked, how.model_copy(update={"fan_out": "loop"}), compiled=COMPILED).quota
    assert loop.pods == quota.pods + 16
    # For each task its driver, Argo's container in that, and Argo's container beside ours.
    assert float(loop.cpu_limits - quota.cpu_limits) == 3 * 16 * 0.5


def test_argos_own_loop_counts_every_pod_against_the_parallelism() -> None:
    asked = read_config(settings={"search.initial": 40, "baselines": ["sgd", "adam"]})
    how = profile(
        **{
            "parallelism": 16,
            "workers.resources": {
                "requests": {"cpu": "1", "memory": "2Gi"},
                "limits": {"cpu": "2", "memory": "2Gi"},
                "gpu": 1,
            },
            "steps.resources.limits": {"cpu": "1", "memory": "8Gi"},
        }
    )
    loop = make_plan(asked, how.model_copy(update={"fan_out": "loop"}), "argo", COMPILED).quota
    assert (loop.pods, loop.gpus) == (16, 16)
    # All pods train; or one of them is a step, which may take more memory.
    assert float(loop.cpu_limits) == 16 * 2 + 16 * 0.5
    assert loop.memory_limits == (15 * 2 + 8) * 2**30 + 16 * 512 * 2**20
    job = make_plan(asked, how.model_copy(update={"fan_out": "job"}), "argo", COMPILED).quota
    assert (job.pods, job.gpus) == (16 + 1, 16)
    few = make_plan(
        asked, how.model_copy(update={"fan_out": "loop", "parallelism": 1}), "argo", COMPILED
    ).quota
    assert few.pods == 1


def test_argo_keeps_less_of_each_task() -> None:
    asked = config(initial=3_000, generations=1)
    plan = make_plan(asked, profile(fan_out="loop"), "argo", compiled="x" * 20_000)
    assert (plan.ir_bytes, problems(plan)) == (20_000, ())
    assert plan.stages[0].workflow_pods == 3_000 + 2
    kfp = make_plan(asked, profile(fan_out="loop"), compiled=COMPILED)
    assert problems(kfp) != ()
    # The list of a loop is no argument of any process.
    assert plan.argument_bytes < kfp.argument_bytes


def test_the_table_names_the_engine_whose_loop_it_is() -> None:
    how = profile(fan_out="loop")
    kfp, argo = (
        plan_text(make_plan(config(), how, target, COMPILED)).splitlines()[0]
        for target in ("kfp", "argo")
    )
    assert kfp.split(maxsplit=1) == ["fan-out", "KFP's own loop"]
    assert argo.split(maxsplit=1) == ["fan-out", "Argo's own loop"]


def test_the_table_can_be_read() -> None:
    text = plan_text(
        make_plan(
            config(), profile(fan_out="job", **{"workers.resources.gpu": 1}), compiled=COMPILED
        )
    )
    lines = text.splitlines()
    assert lines[0].split() == ["fan-out", "one", "Indexed", "Job", "a", "stage"]
    assert any(
        re.match(r"Workflow object at its end +[\d.]+ KiB  of 1,024\.0 KiB$", line)
        for line in lines
    )
    assert any(re.match(r"GPUs at a time +8$", line) for line in lines)


def test_the_command_prints_the_plan_and_refuses_what_cannot_fit(tmp_path: Path) -> None:
    path, output = tmp_path / "profile.yaml", tmp_path / "search.yaml"
    run = CliRunner()
    printed = run.invoke(main, ["compile", "--print-profile"])
    path.write_text(printed.stdout)
    command = ["compile", "--profile", str(path), "-o", str(output)]
    command += ["--set", "search.generations=0"]
    result = run.invoke(main, [*command, "--image", "registry.example/evoptim:9"])
    assert result.exit_code == 0, result.output
    assert "they request" in result.stderr
    assert "registry.example/evoptim:9" in output.read_text()
    path.write_text("fan_out: loop")
    output.unlink()
    result = run.invoke(main, [*command, "--set", "search.initial=5000"])
    assert result.exit_code == 2
    assert "this search does not fit" in result.stderr
    assert not output.exists()
    missing = run.invoke(main, ["compile", "--profile", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 2
    assert "cannot be read: No such file" in missing.stderr
