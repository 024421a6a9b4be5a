"""The trial: a training of a fraction of a second that predicts whether a candidate will fail."""

from evoptim.trial.verdict import RATES, TrialResult, load_digits, trial

__all__ = ["RATES", "TrialResult", "load_digits", "trial"]
