"""Optimizers: any formula or genome as a ``torch.optim.Optimizer``, and the baselines."""

from evoptim.optim.evolved import EvolvedOptimizer
from evoptim.optim.rule_optimizer import OptimizerError, RuleOptimizer

__all__ = ["EvolvedOptimizer", "OptimizerError", "RuleOptimizer"]
