"""What the WorkflowTemplate says: its schema, its references, its text."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argo_checks
import jsonschema
import pytest
import yaml
from argo_search import Object, every_fan_out, made, pods_of, profiles, template_of
from manifest_checks.schemas import closed
from tiny_run import tiny_config

from evoptim.errors import InputError
from pipelines.argo import as_parameter, compile_workflow, search_template
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile


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
