"""Whether the engine is there and takes runs."""

import os
from collections.abc import Iterator

from pipelines.doctor.finding import Finding, read
from pipelines.kubernetes_api import Cluster
from pipelines.profile import ClusterProfile
from pipelines.submit.argo import GROUP
from pipelines.submit.kfp import NAMESPACE_VARIABLE, KfpEngine


def check_kfp(profile: ClusterProfile) -> Iterator[Finding]:
    """Kubeflow Pipelines: its API, the user's login, where it runs pods."""
    engine = KfpEngine()
    kind = engine.check(profile.namespace)
    yield Finding("engine", "ok", f"KFP at {engine.address} answers, {kind}")
    home = os.environ.get(NAMESPACE_VARIABLE) or "kubeflow"
    if kind == "single-user" and profile.namespace != home:
        yield Finding(
            "engine",
            "warning",
            f"this KFP serves one user and runs all pods in its own namespace, {home}, not in "
            f"{profile.namespace}",
            f"set the profile's namespace to {home} (or {NAMESPACE_VARIABLE} to where KFP is), and "
            "apply the overlay kfp-standalone of the manifests",
        )


def check_argo(cluster: Cluster) -> Iterator[Finding]:
    """Argo Workflows: whether the API server knows its objects."""
    found = read(cluster, f"/apis/{GROUP}/v1alpha1")
    names = {each.get("name") for each in (found or {}).get("resources") or ()}
    if "workflows" in names:
        yield Finding("engine", "ok", "the cluster has Argo Workflows")
    else:
        yield Finding(
            "engine",
            "failed",
            "the cluster has no Argo Workflows",
            "install it, or use --target kfp",
        )
