"""What a user must be allowed to do, as values that the checks and the tests read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """One verb on one kind of object of the namespace."""

    group: str
    """API group; empty for the core's."""
    resource: str
    """Plural, with its subresource: ``pods/log``."""
    verb: str
    purpose: str
    """What needs it."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"
