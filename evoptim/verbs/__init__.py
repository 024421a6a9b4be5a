"""The verbs of the command line, each a plain call: for notebooks and programs."""

from evoptim.verbs.compile import compile_pipeline
from evoptim.verbs.make_report import make_report
from evoptim.verbs.results import results
from evoptim.verbs.search import DEFAULT_STORE, SearchResult, Status, search
from evoptim.verbs.show import Description, find_genome, show

__all__ = [
    "DEFAULT_STORE",
    "Description",
    "SearchResult",
    "Status",
    "compile_pipeline",
    "find_genome",
    "make_report",
    "results",
    "search",
    "show",
]
