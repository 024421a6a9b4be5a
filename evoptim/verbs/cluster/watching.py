"""Watch: a run followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.store import open_store
from evoptim.verbs.cluster.known import never_submitted
from evoptim.verbs.cluster.run_status import Follower, RunStatus
from evoptim.verbs.cluster.servers import FOLLOWING_SECONDS


def watch(
    run: str,
    store: str,
    on_status: Callable[[RunStatus], None] | None = None,
    *,
    seconds: float = 10.0,
) -> RunStatus:
    """Follow a run until nothing more will come of it by itself.

    Args:
        run: Name of the run.
        store: Where it is.
        on_status: Called with each look.
        seconds: Between two looks.

    Returns:
        The last look: finished, or failed, cancelled, or gone from its engine.

    Raises:
        InputError: there is no such run, it was never submitted, or a server refuses the user.
        InfrastructureError: store or engine have been away for half an hour.
    """
    follower = Follower(open_store(store), run)
    answered = time.monotonic()
    while True:
        problem: EvoptimError | None
        try:
            found = follower.look()
        except InfrastructureError as error:
            problem = error
        else:
            if on_status is not None:
                on_status(found)
            if found.ended:
                return found
            if found.submission is None:
                raise never_submitted(follower.store, run)
            problem = found.problem
        if isinstance(problem, InputError):
            raise problem
        if problem is None:
            answered = time.monotonic()
        elif time.monotonic() - answered > FOLLOWING_SECONDS:
            raise problem
        time.sleep(seconds)
