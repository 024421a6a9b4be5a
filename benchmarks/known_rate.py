"""A protocol at a learning rate that is known already: a full training without its sweep."""

from __future__ import annotations

from collections.abc import Sequence

from evoptim.config import FullTraining, Protocol


def at_known_rate(
    protocol: Protocol,
    rate: float,
    seeds: Sequence[int],
    training: FullTraining | None = None,
) -> Protocol:
    """``protocol`` with other seeds, perhaps another full training, and a sweep of one step."""
    sweep = protocol.sweep.model_copy(
        update={
            "rates": ((rate,),),
            "epochs": 1,
            "steps_per_epoch": 1,
            "give_up_accuracy": 0.0,
            "minimum_accuracy": 0.0,
            "racing": None,
        }
    )
    return protocol.model_copy(
        update={
            "sweep": sweep,
            "training": training or protocol.training,
            "seeds": tuple(seeds),
        }
    )
