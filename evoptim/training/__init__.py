"""Fitness by real training: the LR sweep, the full training, and many of them at once."""

from evoptim.training.evaluate import evaluate
from evoptim.training.pool import Job, Screen, Screened, evaluate_many
from evoptim.training.setting import Device, MakeOptimizer

__all__ = ["Device", "Job", "MakeOptimizer", "Screen", "Screened", "evaluate", "evaluate_many"]
