"""The verbs of the command line, each a plain call: for notebooks and programs."""

from evoptim.verbs.cluster import (
    Cancelled,
    RunStatus,
    Submitted,
    cancel,
    follow_logs,
    logs,
    resume,
    status,
    submit,
    watch,
)
from evoptim.verbs.compiling import Compiled, compile_for_cluster, compile_pipeline
from evoptim.verbs.describing import Description, find_genome, show
from evoptim.verbs.diagnosing import diagnose
from evoptim.verbs.exporting import export
from evoptim.verbs.health import check_health
from evoptim.verbs.progress import Status
from evoptim.verbs.ranking import ledger, results
from evoptim.verbs.reporting import make_report
from evoptim.verbs.searching import DEFAULT_STORE, SearchResult, search

__all__ = [
    "DEFAULT_STORE",
    "Cancelled",
    "Compiled",
    "Description",
    "RunStatus",
    "SearchResult",
    "Status",
    "Submitted",
    "cancel",
    "check_health",
    "compile_for_cluster",
    "compile_pipeline",
    "diagnose",
    "export",
    "find_genome",
    "follow_logs",
    "ledger",
    "logs",
    "make_report",
    "results",
    "resume",
    "search",
    "show",
    "status",
    "submit",
    "watch",
]
