"""What an optimizer must remember for every weight tensor."""

from __future__ import annotations

from evoptim.genome.canonical import canonical
from evoptim.genome.graph import Genome, Momentum, StateSlot
from evoptim.operands import BETAS, OPERANDS, POWERS
from evoptim.operators import UNARY


def memory_slot(index: int) -> str:
    """State key of the tensor that the ``index``-th node of the canonical form keeps."""
    return f"memory_{index}"


def state_slots(genome: Genome) -> tuple[StateSlot, ...]:
    """See :meth:`evoptim.genome.Genome.state_slots`."""
    nodes = canonical(genome).active
    names = {source for node in nodes for source in node.sources if isinstance(source, str)}
    needed = {average for name in names for average in OPERANDS[name].averages}
    averages = [
        StateSlot(
            average,
            f"moving average of {'gradient' if power == 1 else f'gradient^{power}'}, "
            f"beta = {BETAS[average]}",
        )
        for average, power in POWERS.items()
        if average in needed
    ]
    memories = [
        StateSlot(memory_slot(index), f"memory of {UNARY[node.operator].symbol}")
        for index, node in enumerate(nodes)
        if node.operator in UNARY and UNARY[node.operator].stateful
    ]
    momentum = (
        []
        if genome.momentum is Momentum.NONE
        else [StateSlot("momentum", f"{genome.momentum.value} momentum")]
    )
    return (*averages, *memories, *momentum)
