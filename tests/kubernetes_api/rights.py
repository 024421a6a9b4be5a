"""Who may do what, by the Roles and RoleBindings that were applied."""

from __future__ import annotations

from kubernetes_api.objects import Objects
from kubernetes_api.paths import Place
from kubernetes_api.wire import Refused

ADMIN = "token-of-an-administrator"


def token_of(namespace: str, account: str) -> str:
    """A token of a service account."""
    return f"sa:{namespace}:{account}"


def check(token: str, verb: str, place: Place, space: Objects) -> None:
    """Refuse what the bearer of a token may not do in a namespace."""
    if token == ADMIN:
        return
    if not token.startswith("sa:"):
        raise Refused(401, "Unauthorized", "Unauthorized")
    _, home, account = token.split(":")
    ours = {"kind": "ServiceAccount", "name": account, "namespace": home}
    with space.changed:
        bindings = list(space.objects["rolebindings"].values())
        names = [each["roleRef"]["name"] for each in bindings if ours in each["subjects"]]
        rules = [rule for name in names for rule in space.original("roles", name)["rules"]]
    for rule in rules:
        named = rule.get("resourceNames")
        if (
            place.group in rule["apiGroups"]
            and place.resource in rule["resources"]
            and verb in rule["verbs"]
            and (not named or place.name in named)
        ):
            return
    user = f"system:serviceaccount:{home}:{account}"
    subject = f'{place.kind} "{place.name}"' if place.name else place.kind
    where = f' in the namespace "{place.namespace}"' if place.namespace else ""
    raise Refused(
        403,
        "Forbidden",
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{place.resource}" in API '
        f'group "{place.group}"{where}',
    )
