"""Whether a search fits into quota and limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from manifest_checks.pods import Pod, step, worker, workloads
from manifest_checks.rendering import Object, name_of, of_kind
from pipelines.profile import ClusterProfile
from pipelines.quantity import amount

Sum = Counter[str]

# A container of a driver of KFP.
DRIVER = {
    "requests": {"cpu": "100m", "memory": "64Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
DRIVERS_PER_TASK = 2


def need_of(resources: Iterable[Object]) -> Sum:
    """What a pod with containers of these resources counts for in a quota."""
    total: Sum = Counter({"pods": 1})
    for each in resources:
        for side in ("requests", "limits"):
            for name, quantity in each[side].items():
                total[f"{side}.{name}"] += amount(quantity)  # type: ignore[assignment]
    return total


def need_of_search(things: list[Object], profile: ClusterProfile) -> Sum:
    """The most that a search on KFP has at a time: its pods, their drivers, KFP's helpers."""
    (limits,) = (
        each
        for item in of_kind(things, "LimitRange")
        for each in item["spec"]["limits"]
        if each["type"] == "Container"
    )
    # The engine's own container, beside each of ours, says nothing: it gets the defaults.
    helper = {"requests": limits["defaultRequest"], "limits": limits["default"]}
    total: Sum = Counter({"count/jobs.batch": 1})
    for pod, times in ((worker(profile), profile.parallelism), (step(profile), 1)):
        own = [container["resources"] for container in pod.spec["containers"]]
        for _ in range(times):
            total += need_of([*own, helper])
            for _ in range(DRIVERS_PER_TASK):
                total += need_of([DRIVER, helper])
    for pod in workloads(things):
        total += need_of(container["resources"] for container in pod.spec["containers"])
    for claim in of_kind(things, "PersistentVolumeClaim"):
        storage = amount(claim["spec"]["resources"]["requests"]["storage"])
        total += Counter({"persistentvolumeclaims": 1, "requests.storage": storage})
    return total


def quota_problems(things: list[Object], profile: ClusterProfile) -> list[str]:
    """Where the search does not fit into the quota."""
    need = need_of_search(things, profile)
    return [
        f"{name_of(quota)}: {name} is {allowed}, a search takes {need[name]}"
        for quota in of_kind(things, "ResourceQuota")
        for name, allowed in quota["spec"]["hard"].items()
        if need[name] > amount(allowed)
    ]


def queue_problems(things: list[Object], profile: ClusterProfile) -> list[str]:
    """Where no flavor of the queue has room for all training pods at a time."""
    wanted = need_of([worker(profile).spec["containers"][0]["resources"]])
    return [
        f"{name_of(queue)}: no flavor has room"
        for queue in of_kind(things, "ClusterQueue")
        for group in queue["spec"]["resourceGroups"]
        if not any(
            all(
                wanted[f"requests.{one['name']}"] * profile.parallelism
                <= amount(one["nominalQuota"])
                for one in flavor["resources"]
            )
            for flavor in group["flavors"]
        )
    ]


def limit_problems(things: list[Object], pods: list[Pod]) -> list[str]:
    """Containers and claims outside the limit range, and containers that state nothing."""
    ranges = {
        each["type"]: each
        for item in of_kind(things, "LimitRange")
        for each in item["spec"]["limits"]
    }
    problems = []
    asked = [
        (pod.origin, container.get("resources", {}))
        for pod in pods
        for container in pod.spec["containers"]
    ]
    for origin, resources in [*asked, ("a driver of KFP", DRIVER)]:
        for side in ("requests", "limits"):
            for name in ("cpu", "memory"):
                quantity = resources.get(side, {}).get(name)
                if quantity is None:
                    problems.append(f"{origin}: no {side}.{name}")
                elif not _within(ranges["Container"], name, amount(quantity)):
                    problems.append(f"{origin}: {side}.{name} of {quantity} is out of range")
    for claim in of_kind(things, "PersistentVolumeClaim"):
        storage = claim["spec"]["resources"]["requests"]["storage"]
        if not _within(ranges["PersistentVolumeClaim"], "storage", amount(storage)):
            problems.append(f"{name_of(claim)}: {storage} is out of range")
    return problems


def _within(limits: Object, name: str, value: Decimal) -> bool:
    return amount(limits["min"][name]) <= value <= amount(limits["max"][name])
