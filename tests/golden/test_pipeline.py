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
from kfp.pipeline_spec import pipeline_spec_pb2

from evoptim.errors import InputError
from pipelines import compile_search
from pipelines.compiler import share_identical
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
        "baselines": {"initialise the run"},
        "generation 0": {"initialise the run"},
        "generation 1": {"generation 0"},
        "generation 2": {"generation 1"},
        "report": {"generation 2", "baselines"},
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
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.decode()
        for seed in ("1", "2")
    }
    assert texts == {compile_search(3)}


def test_a_negative_number_of_generations_is_refused():
    with pytest.raises(InputError, match="must be zero or more, got -1"):
        compile_search(generations=-1)
