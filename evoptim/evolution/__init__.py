"""The genetic algorithm: mutation-only, particle-based, pure functions over records."""

from evoptim.evolution.duplicates import Firsts
from evoptim.evolution.gene import Gene
from evoptim.evolution.hopeless import bars, best_so_far
from evoptim.evolution.optimizer_gene import OptimizerGene
from evoptim.evolution.propose import propose_children, propose_initial
from evoptim.evolution.select import (
    check_complete,
    check_screens,
    merit,
    select_children,
    select_initial,
)
from evoptim.evolution.stagnation import generations_without_improvement

__all__ = [
    "Firsts",
    "Gene",
    "OptimizerGene",
    "bars",
    "best_so_far",
    "check_complete",
    "check_screens",
    "generations_without_improvement",
    "merit",
    "propose_children",
    "propose_initial",
    "select_children",
    "select_initial",
]
