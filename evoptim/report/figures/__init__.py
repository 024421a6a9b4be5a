"""The drawings of the report, one file each."""

from evoptim.report.figures.accuracies import accuracies_figure
from evoptim.report.figures.decays import DECAY_LINES, decays_figure, rates_figure
from evoptim.report.figures.fitness import fitness_figure
from evoptim.report.figures.learning import accuracy_figure, loss_figure
from evoptim.report.figures.outcomes import outcomes_figure

__all__ = [
    "DECAY_LINES",
    "accuracies_figure",
    "accuracy_figure",
    "decays_figure",
    "fitness_figure",
    "loss_figure",
    "outcomes_figure",
    "rates_figure",
]
