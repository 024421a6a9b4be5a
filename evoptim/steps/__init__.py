"""One function for each pipeline step; the only place where the store meets the core.

Arguments are small integers and strings. Each step reads its inputs from the store, writes its
output there once, and does nothing where the output exists: kill anything at any time and run it
again.
"""

from evoptim.steps.ahead import Ahead, read_ahead
from evoptim.steps.evaluate import evaluate, evaluate_finals
from evoptim.steps.initialise import initialise
from evoptim.steps.missing import Missing, chunks_to_propose, missing_chunks
from evoptim.steps.progress import END, next_generation, next_turn
from evoptim.steps.propose import propose, propose_finals
from evoptim.steps.report import champion, report, summary
from evoptim.steps.select import population_metrics, select

__all__ = [
    "END",
    "Ahead",
    "Missing",
    "champion",
    "chunks_to_propose",
    "evaluate",
    "evaluate_finals",
    "initialise",
    "missing_chunks",
    "next_generation",
    "next_turn",
    "population_metrics",
    "propose",
    "propose_finals",
    "read_ahead",
    "report",
    "select",
    "summary",
]
