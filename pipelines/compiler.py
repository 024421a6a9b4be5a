"""From the search pipeline to the IR YAML that Kubeflow Pipelines, and ``kfp.local``, run."""

import json
from typing import Any

import yaml

from evoptim.container_image import DEFAULT_IMAGE
from evoptim.errors import InputError
from pipelines.profile import ClusterProfile

# Not a field of executors.
_PLATFORM = "kubernetes"


def compile_search(
    generations: int,
    image: str = DEFAULT_IMAGE,
    profile: ClusterProfile | None = None,
    fan_out: str = "loop",
) -> str:
    """Compile the search pipeline.

    The same arguments and the same versions of kfp and kfp-kubernetes give the same bytes. A
    generation adds about half a kilobyte, three quarters of one with Jobs.

    Args:
        generations: how many generations of mutants follow generation 0; zero or more.
        image: container image in which every task runs; a profile names its own.
        profile: how pods run; None leaves it to the cluster.
        fan_out: ``loop`` or ``job``: see :func:`pipelines.search.search_pipeline`.

    Returns:
        KFP v2 pipeline IR, as YAML; with a profile, followed by what it says to Kubernetes. Its
        parameters are ``store``, ``run``, ``config`` and ``candidates_per_task``.

    Raises:
        InputError: ``generations`` is negative, a Job is asked for without a profile, or
            kfp-kubernetes is not installed.
    """
    if generations < 0:
        raise InputError(
            f"The number of generations must be zero or more, got {generations}. "
            "Zero stops after the sampled generation."
        )
    # kfp takes most of a second, and most of what imports this package compiles nothing.
    from google.protobuf import json_format

    from pipelines.search import search_pipeline

    pipeline = search_pipeline(generations, image, profile, fan_out)
    # What kfp's Compiler writes, without writing it, and reading it again, in its full length.
    ir = json_format.MessageToDict(pipeline.pipeline_spec)
    platform = json_format.MessageToDict(pipeline.platform_spec)
    documents = _shared_with_platform(ir, platform) if platform else (share_identical(ir),)
    text: str = yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True, width=100)
    return text


def _shared_with_platform(
    ir: dict[str, Any], platform: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Share what is identical, where executors differ also by what they say to Kubernetes."""
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = ir["deploymentSpec"]["executors"]
    together = {name: {**each, _PLATFORM: settings[name]} for name, each in executors.items()}
    deployment = {**ir["deploymentSpec"], "executors": together}
    shared = share_identical({**ir, "deploymentSpec": deployment})
    kept = shared["deploymentSpec"]["executors"]
    apart = {name: each.pop(_PLATFORM) for name, each in kept.items()}
    kubernetes = {"kubernetes": {"deploymentSpec": {"executors": apart}}}
    return shared, {**platform, "platforms": kubernetes}


def share_identical(ir: dict[str, Any]) -> dict[str, Any]:
    """Keep one copy of each component and each executor, and point every reference to it.

    KFP's compiler writes a sub-pipeline out again for each use, numbering the copies. Copies that
    differ only in those numbers become equal from the leaves up: executors, then the components
    that run them, then the components that contain those.

    Args:
        ir: pipeline IR (``PipelineSpec``) as parsed YAML; it is left as it is.

    Returns:
        The IR without copies, with the same tasks, inputs and outputs.
    """
    executors, renamed = _distinct(ir["deploymentSpec"]["executors"])
    components = {
        name: {**component, "executorLabel": renamed[component["executorLabel"]]}
        if "executorLabel" in component
        else component
        for name, component in ir["components"].items()
    }
    root = ir["root"]
    while True:
        distinct, renamed = _distinct(components)
        root = _with_references(root, renamed)
        shared = {name: _with_references(part, renamed) for name, part in distinct.items()}
        if len(shared) == len(components):
            break
        components = shared
    return {
        **ir,
        "components": shared,
        "deploymentSpec": {**ir["deploymentSpec"], "executors": executors},
        "root": root,
    }


def _distinct(entries: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the distinct entries, and for every name the name under which its entry is kept."""
    kept: dict[str, str] = {}
    renamed: dict[str, str] = {}
    # Shortest first, so that "comp-evaluate" is kept and "comp-evaluate-2" is not.
    for name in sorted(entries, key=lambda name: (len(name), name)):
        renamed[name] = kept.setdefault(json.dumps(entries[name], sort_keys=True), name)
    return {name: entries[name] for name in kept.values()}, renamed


def _with_references(component: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """Return the component with the references of its tasks renamed."""
    if "dag" not in component:
        return component
    dag = component["dag"]
    tasks = {
        name: {**task, "componentRef": {"name": renamed[task["componentRef"]["name"]]}}
        for name, task in dag["tasks"].items()
    }
    return {**component, "dag": {**dag, "tasks": tasks}}
