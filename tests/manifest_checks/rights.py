"""What an account may do."""

from __future__ import annotations

from manifest_checks.rendering import Object, find, name_of, of_kind

Right = tuple[str, str, str]
"""API group and resource, name of the object or ``*``, verb."""


def rights_of(things: list[Object], account: str) -> set[Right]:
    """All that is granted to a service account."""
    return {
        right
        for binding in of_kind(things, "RoleBinding")
        if any(subject["name"] == account for subject in binding["subjects"])
        for right in rights_in(things, binding["roleRef"]["name"])
    }


def rights_in(things: list[Object], role: str) -> set[Right]:
    """All that a Role grants, whoever it is bound to."""
    return {
        (f"{group}/{resource}".lstrip("/"), name, verb)
        for rule in find(things, "Role", role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
        for verb in rule["verbs"]
    }


def wildcard_problems(things: list[Object]) -> list[str]:
    """Roles that grant more than what they name, and roles of the whole cluster."""
    return [
        *(
            f"{name_of(each)}: a wildcard"
            for each in of_kind(things, "Role")
            for rule in each["rules"]
            if "*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        ),
        *(
            f"{name_of(each)}: grants beyond the namespace"
            for each in of_kind(things, "ClusterRole", "ClusterRoleBinding")
        ),
    ]
