"""The search as a WorkflowTemplate of Argo Workflows (3.7 or newer), without Kubeflow Pipelines.

One template serves every run: what differs between runs are its parameters. Where a run stands is
for the store to say, through what two steps print: the first generation to do, and, after each
generation, the next one or "end". So a workflow that is submitted again goes on where the last one
was, and ends early where that one would have.

Patience is a parameter of the workflow and no setting of the run: a pipeline of KFP has all its
generations written out and could not keep what the setting promises.
"""

import math
from itertools import pairwise
from typing import Any, Literal

import yaml

from evoptim.config import RunConfig
from evoptim.config.run import MAX_GENERATION
from evoptim.errors import InputError
from evoptim.steps import END
from pipelines.argo_pod import (
    CHUNK,
    FINALS,
    GENERATION,
    OF_GENERATION,
    PATIENCE,
    RUN,
    SIZE,
    STORE,
    arguments,
    executor_security,
    inputs,
    pod,
)
from pipelines.pod import (
    COMPONENT_LABEL,
    NAME_LABEL,
    RUN_LABEL,
    Part,
    image_pull_secrets,
    pod_security,
    queue_labels,
)
from pipelines.profile import ClusterProfile

NAME = "evoptim-search"
"""The name of the WorkflowTemplate."""
EXECUTOR_ACCOUNT = "evoptim-executor"
"""The service account of Argo's own container in each pod, which reports results."""

RECURSION_LIMIT = 100
"""How deep Argo's controller lets templates call each other, unless it is told otherwise."""
TURNS = 16
"""Generations at each depth of the recursion: 63 depths hold all that a run can have."""
DEPTH = math.ceil((MAX_GENERATION + 1) / TURNS) + 3
"""How deep the longest run goes: around the recursion are the entry point, a generation, a pod."""

OF_THIS = arguments(generation="{{inputs.parameters.generation}}")
# A loop runs over what propose prints: after an interruption, over what is left.
MISSING = ("--missing",)

# Logs of what went well can be read for so long; those of failures stay with the workflow.
_LOGS = "10m"


def compile_workflow(
    config: RunConfig, profile: ClusterProfile, fan_out: Literal["loop", "job"]
) -> str:
    """The WorkflowTemplate as YAML, to be applied with ``kubectl``.

    The same arguments give the same bytes.

    Args:
        config: The default of its parameter ``config``.
        profile: How pods run.
        fan_out: ``loop``: one pod of the workflow for each chunk, in a ``withParam`` loop. ``job``:
            one pod that watches an Indexed Job.

    Raises:
        InputError: the profile holds text that Argo would replace.
    """
    text = yaml.dump(
        search_template(profile, fan_out, config),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return f"{_HEADER.format(namespace=profile.namespace, name=NAME)}{text}"


_HEADER = """\
# kubectl apply -f THIS_FILE
# argo -n {namespace} submit --from workflowtemplate/{name} -p store=s3://bucket/prefix -p run=first
# Submitted again with the same store and run, a search goes on where it was.
"""


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out again instead of pointing to them, for people and other tools."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def search_template(
    profile: ClusterProfile, fan_out: Literal["loop", "job"], config: RunConfig | None = None
) -> Part:
    """``argoproj.io/v1alpha1`` WorkflowTemplate of a search; see :func:`compile_workflow`.

    Args:
        profile: How pods run.
        fan_out: How the evaluations of a stage are spread.
        config: Default of the parameter ``config``; None demands it of whoever submits.

    Raises:
        InputError: the profile holds text that Argo would replace.
    """
    if "{{" in profile.canonical_json():
        raise InputError(
            "the profile holds {{, and Argo replaces {{...}} wherever it stands: take it out"
        )
    own = {NAME_LABEL: "evoptim", COMPONENT_LABEL: "search"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {
            "name": NAME,
            "namespace": profile.namespace,
            "labels": {**profile.labels, **own},
            "annotations": {
                **profile.annotations,
                "workflows.argoproj.io/description": "Evolves deep-learning optimizers and trains "
                "every candidate; see https://arxiv.org/abs/2404.06679 for the method.",
            },
        },
        "spec": {
            "entrypoint": "search",
            "onExit": "finish",
            "arguments": {"parameters": _parameters(profile, config)},
            "workflowMetadata": {
                "labels": own,
                "labelsFrom": {RUN_LABEL: {"expression": "workflow.parameters.run"}},
            },
            "podMetadata": {"labels": {NAME_LABEL: "evoptim", RUN_LABEL: RUN}},
            "serviceAccountName": profile.steps.service_account,
            "executor": {"serviceAccountName": EXECUTOR_ACCOUNT},
            "securityContext": pod_security(profile),
            "podSpecPatch": executor_security(profile),
            **({"imagePullSecrets": image_pull_secrets(profile)} if _secrets(profile) else {}),
            # Two workflows of one run would do everything twice.
            "synchronization": {"mutexes": [{"name": f"evoptim-{RUN}"}]},
            **({"parallelism": profile.parallelism} if fan_out == "loop" else {}),
            "podGC": {"strategy": "OnPodSuccess", "deleteDelayDuration": _LOGS},
            "ttlStrategy": {"secondsAfterCompletion": profile.workflow_ttl_seconds},
            "templates": [
                _search(),
                _generations(),
                *(_loops(profile) if fan_out == "loop" else _jobs(profile)),
                *_steps(profile, fan_out),
                _finish(),
            ],
        },
    }


def as_parameter(text: str) -> str:
    """JSON as the value of a parameter that ends in an argument of a container.

    Argo replaces ``{{…}}`` there and Kubernetes ``$(…)``, and both only occur within strings, where
    JSON can write the second character as its number.
    """
    return text.replace("{{", "{\\u007b").replace("$(", "$\\u0028")


def _parameters(profile: ClusterProfile, config: RunConfig | None) -> list[Part]:
    default = {} if config is None else {"value": as_parameter(config.canonical_json())}
    return [
        {"name": "store", "description": "Where runs are kept: s3://bucket/prefix."},
        {"name": "run", "description": "Name of the run; the same one continues it."},
        {"name": "config", "description": "Configuration of the run, as JSON.", **default},
        {
            "name": "candidates_per_task",
            "description": "Candidates that one pod trains, one after another.",
            "value": str(profile.candidates_per_task),
        },
        {
            "name": "patience",
            "description": "End the run when so many generations have found nothing better; "
            "0 never ends it early.",
            "value": "0",
        },
    ]


def _secrets(profile: ClusterProfile) -> bool:
    return bool(profile.image_pull_secrets)


# What runs after what


def _search() -> Part:
    return {
        "name": "search",
        "dag": {
            "tasks": [
                {"name": "initialise", "template": "initialise"},
                {
                    "name": "generations",
                    "template": "generations",
                    "depends": "initialise.Succeeded",
                    "when": _unless_end("{{tasks.initialise.outputs.result}}"),
                    **arguments(generation="{{tasks.initialise.outputs.result}}"),
                },
                {
                    "name": "finals",
                    "template": "finals",
                    # Skipped: a run that goes on may have all its generations.
                    "depends": "generations.Succeeded || generations.Skipped",
                },
            ],
        },
    }


def _generations() -> Part:
    """Generations from the given one on: some here, the rest one depth further down.

    A turn whose predecessor was skipped is omitted, so that an end at any turn ends all.
    """
    names = [*(f"turn-{turn:02d}" for turn in range(1, TURNS + 1)), "more"]
    tasks: list[Part] = [
        {
            "name": names[0],
            "template": "generation",
            **arguments(generation="{{inputs.parameters.generation}}"),
        }
    ]
    for before, name in pairwise(names):
        following = f"{{{{tasks.{before}.outputs.parameters.next}}}}"
        tasks.append(
            {
                "name": name,
                "template": "generations" if name == "more" else "generation",
                "depends": f"{before}.Succeeded",
                "when": _unless_end(following),
                **arguments(generation=following),
            }
        )
    return {"name": "generations", **inputs("generation"), "dag": {"tasks": tasks}}


def _loops(profile: ClusterProfile) -> list[Part]:
    """The stages, with one pod of the workflow for each chunk.

    What became of a chunk is for the store to say. So a stage goes on whatever became of its pods:
    selection, and for the finals the report, count what is missing and refuse too much.
    """
    worker = queue_labels(profile)
    return [
        {
            "name": "finals",
            "steps": [
                [{"name": "propose", "template": "propose-finals"}],
                [
                    {
                        "name": "train",
                        "template": "evaluate-finals",
                        "withParam": "{{steps.propose.outputs.result}}",
                        **arguments(chunk="{{item}}"),
                        "continueOn": {"failed": True, "error": True},
                    }
                ],
            ],
        },
        _generation(
            {"name": "propose", "template": "propose", **OF_THIS},
            {
                "name": "train",
                "template": "evaluate",
                "withParam": "{{steps.propose.outputs.result}}",
                **arguments(generation="{{inputs.parameters.generation}}", chunk="{{item}}"),
                "continueOn": {"failed": True, "error": True},
            },
            {"name": "select", "template": "select", **OF_THIS},
        ),
        pod(
            profile,
            "search",
            "propose",
            ("propose", *STORE, *GENERATION, *SIZE, *MISSING),
            takes=("generation",),
            more_labels=OF_GENERATION,
        ),
        pod(
            profile,
            "search",
            "select",
            ("select", *STORE, *GENERATION, *PATIENCE),
            takes=("generation",),
            more_labels=OF_GENERATION,
        ),
        pod(
            profile,
            "worker",
            "evaluate-finals",
            ("evaluate-finals", *STORE, *CHUNK, *SIZE),
            takes=("chunk",),
            more_labels={**FINALS, **worker},
        ),
        pod(
            profile,
            "worker",
            "evaluate",
            ("evaluate", *STORE, *GENERATION, *CHUNK, *SIZE),
            takes=("generation", "chunk"),
            more_labels={**OF_GENERATION, **worker},
        ),
    ]


def _jobs(profile: ClusterProfile) -> list[Part]:
    """The stages, with one pod that makes and watches an Indexed Job."""
    how = ("--profile-json", as_parameter(profile.canonical_json()))
    watch = profile.watch_timeout_seconds()
    return [
        {
            "name": "finals",
            "steps": [
                [{"name": "propose", "template": "propose-finals"}],
                [{"name": "train", "template": "evaluate-finals"}],
            ],
        },
        _generation({"name": "run", "template": "run-generation", **OF_THIS}),
        pod(
            profile,
            "search",
            "evaluate-finals",
            ("evaluate-finals-fanout", *STORE, *SIZE, *how),
            more_labels=FINALS,
            timeout_seconds=watch,
        ),
        pod(
            profile,
            "search",
            "run-generation",
            ("generation", *STORE, *GENERATION, *SIZE, *how, *PATIENCE),
            takes=("generation",),
            more_labels=OF_GENERATION,
            timeout_seconds=watch,
        ),
    ]


def _generation(*turn: Part) -> Part:
    """One generation, by the last of these steps: what it prints, the number of the next one or
    "end", is the output ``next``.
    """
    following = {"parameter": f"{{{{steps.{turn[-1]['name']}.outputs.result}}}}"}
    return {
        "name": "generation",
        "annotations": {
            "workflows.argoproj.io/display-name": "generation-{{inputs.parameters.generation}}"
        },
        **inputs("generation"),
        "steps": [[each] for each in turn],
        "outputs": {"parameters": [{"name": "next", "valueFrom": following}]},
    }


def _steps(profile: ClusterProfile, fan_out: Literal["loop", "job"]) -> list[Part]:
    """The pods of the run, and what chooses the finalists."""
    missing = MISSING if fan_out == "loop" else ()
    config = ("--config", "{{workflow.parameters.config}}")
    return [
        pod(profile, "search", "initialise", ("initialise", *STORE, *config, *PATIENCE)),
        pod(
            profile,
            "search",
            "propose-finals",
            ("propose-finals", *STORE, *SIZE, *PATIENCE, *missing),
            more_labels=FINALS,
        ),
        pod(
            profile,
            "search",
            "report",
            (
                *("report", *STORE, *PATIENCE),
                *("--unfinished", "{{inputs.parameters.unfinished}}"),
            ),
            takes=("unfinished",),
        ),
    ]


def _finish() -> Part:
    """The exit handler: the report, without which a search that went well has failed all the same.

    After a failure it reports what is complete, and says how far the rest is.
    """
    return {
        "name": "finish",
        "steps": [
            [
                {
                    "name": "report",
                    "template": "report",
                    "when": "'{{workflow.status}}' == 'Succeeded'",
                    **arguments(unfinished="refuse"),
                },
                {
                    "name": "tell",
                    "template": "report",
                    "when": "'{{workflow.status}}' != 'Succeeded'",
                    **arguments(unfinished="tell"),
                },
            ]
        ],
    }


def _unless_end(number: str) -> str:
    return f"'{number}' != '{END}'"
