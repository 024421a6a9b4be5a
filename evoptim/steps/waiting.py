"""How a task that starts beside the proposing of its stage waits for what it is to train."""

from __future__ import annotations

import time
from collections.abc import Sequence

from evoptim.errors import InfrastructureError
from evoptim.store import Stage, Store
from evoptim.store.layout import candidates_key

MOST_SECONDS = 600.0
"""By then a step that was killed while it proposed has its successor; a Job tries again later."""
POLL_SECONDS = 0.5


def is_proposed(store: Store, run: str, stage: Stage) -> bool:
    """Whether the candidates of a stage are there, all of them."""
    return store.exists(candidates_key(run, stage))


def wait_for_candidates(
    store: Store,
    keys: Sequence[str],
    what: str,
    *,
    most: float = MOST_SECONDS,
    poll: float = POLL_SECONDS,
) -> None:
    """Wait for candidates that are still being proposed.

    Args:
        store: The store.
        keys: The objects that hold them.
        what: What they are, for people: "chunk 3 of …".
        most: Seconds to wait at most.
        poll: Seconds between two looks.

    Raises:
        InfrastructureError: they did not come.
    """
    deadline = time.monotonic() + most
    while not all(map(store.exists, keys)):
        left = deadline - time.monotonic()
        if left <= 0:
            raise InfrastructureError(
                f"{what} has no candidates after {most:.0f} s: the step that proposes them has "
                "ended, or is slow; look into its log, then run the same command again"
            )
        time.sleep(min(poll, left))
