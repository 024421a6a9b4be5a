"""The verbs of the command line, each a plain call: for notebooks and programs."""

from evoptim.verbs.compiling import compile_pipeline
from evoptim.verbs.describing import Description, find_genome, show
from evoptim.verbs.health import check_health
from evoptim.verbs.progress import Status
from evoptim.verbs.ranking import results
from evoptim.verbs.reporting import make_report
from evoptim.verbs.searching import DEFAULT_STORE, SearchResult, search

__all__ = [
    "DEFAULT_STORE",
    "Description",
    "SearchResult",
    "Status",
    "check_health",
    "compile_pipeline",
    "find_genome",
    "make_report",
    "results",
    "search",
    "show",
]
