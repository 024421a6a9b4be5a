"""Whether the image can be pulled, as far as its name, the nodes and past pulls tell."""

from collections.abc import Iterator

from pipelines.doctor.finding import Finding
from pipelines.kubernetes_api import Cluster, ForbiddenError, Object
from pipelines.profile import ClusterProfile


def check_image(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """What is known of the image without starting a pod."""
    yield from _name_findings(profile)
    image, namespace = profile.image, profile.namespace
    failed = _latest(_events(cluster, namespace, "Failed"), f'image "{image}"')
    pulled = _latest(_events(cluster, namespace, "Pulled"), f'image "{image}"')
    if failed and (not pulled or _time(failed) > _time(pulled)):
        told = f"the last pull of {image} failed: {' '.join(str(failed.get('message')).split())}"
        yield Finding(
            "image",
            "failed",
            told[:400],
            "push the image, correct its name, or name a Secret in image_pull_secrets",
        )
    elif pulled:
        yield Finding("image", "ok", f"{image} was pulled at {_time(pulled)}")
    elif nodes := _nodes_with(cluster, image):
        yield Finding("image", "ok", f"{image} is on {nodes} of the nodes")
    else:
        yield Finding(
            "image",
            "unknown",
            f"nothing has pulled {image} in {namespace} lately",
            "evoptim doctor --deep starts a pod of it",
        )


def _name_findings(profile: ClusterProfile) -> Iterator[Finding]:
    image = profile.image
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2]
    if not digest and tag in ("", "latest") and profile.image_pull_policy != "Always":
        yield Finding(
            "image",
            "warning",
            f"{image} may be another image on every node",
            "give it a tag of its own, or a digest",
        )
    first, slash, _ = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    if not is_host and profile.image_pull_policy == "Always":
        yield Finding(
            "image",
            "warning",
            f"{image} names no registry, so it is pulled from docker.io",
            "name its registry; for an image that is on the nodes already set image_pull_policy "
            "to IfNotPresent",
        )


def _events(cluster: Cluster, namespace: str, reason: str) -> list[Object]:
    path = f"/api/v1/namespaces/{namespace}/events"
    query = {"fieldSelector": f"reason={reason},involvedObject.kind=Pod", "limit": "500"}
    return list(cluster.request("GET", path, query).get("items") or ())


def _latest(events: list[Object], part: str) -> Object | None:
    about = [event for event in events if part in (event.get("message") or "")]
    return max(about, key=_time, default=None)


def _time(event: Object) -> str:
    told = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    return str(told or "")


def _nodes_with(cluster: Cluster, image: str) -> int:
    """How many nodes say that they have the image; they list their fifty largest only."""
    try:
        nodes = cluster.request("GET", "/api/v1/nodes").get("items") or ()
    except ForbiddenError:
        return 0
    names = {image, f"docker.io/{image}", f"docker.io/library/{image}"}
    return sum(
        any(
            names & set(each.get("names") or ())
            for each in (node.get("status") or {}).get("images") or ()
        )
        for node in nodes
    )
