"""Optimizers: any genome as a ``torch.optim.Optimizer``, and the baselines it is measured by."""

from evoptim.optim.evolved import EvolvedOptimizer, OptimizerError

__all__ = ["EvolvedOptimizer", "OptimizerError"]
