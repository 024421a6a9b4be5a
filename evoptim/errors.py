"""The two kinds of failure: what the user gave is wrong, or what we stand on is broken.

A bad candidate is neither: divergence, NaN and time-outs are outcomes in a record
(:class:`evoptim.records.Outcome`).
"""

from __future__ import annotations


class EvoptimError(Exception):
    """Base of every error that evoptim raises on purpose."""


class InputError(EvoptimError, ValueError):
    """Something the user gave is wrong: the message names the rule, the value and the remedy.

    The command line prints it as one line and exits with code 2.
    """


class InfrastructureError(EvoptimError, RuntimeError):
    """A store, an engine or a machine failed; running the same command again may succeed.

    The command line prints it as one line and exits with code 1.
    """
