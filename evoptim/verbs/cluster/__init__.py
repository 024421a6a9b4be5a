"""A search on a cluster: submit, resume, status, watch, logs, cancel.

Where a run was sent is remembered in its store, so that following it takes its name and the store,
nothing else. What has been computed is for the store to say; the engine is asked only whether it is
still at work, and why not.
"""

from evoptim.verbs.cluster.cancelling import Cancelled, cancel
from evoptim.verbs.cluster.pod_logs import follow_logs, logs
from evoptim.verbs.cluster.run_status import RunStatus, status
from evoptim.verbs.cluster.submitting import Submitted, resume, submit
from evoptim.verbs.cluster.watching import watch

__all__ = [
    "Cancelled",
    "RunStatus",
    "Submitted",
    "cancel",
    "follow_logs",
    "logs",
    "resume",
    "status",
    "submit",
    "watch",
]
