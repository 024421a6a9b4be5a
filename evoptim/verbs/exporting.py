"""Export: one source file for people who do not have evoptim."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.verbs.describing import find_genome
from evoptim.verbs.ranking import entry, run_and_rank
from evoptim.verbs.searching import DEFAULT_STORE

if TYPE_CHECKING:
    from evoptim.exporter import Subject


def export(
    optimizer: str | Genome,
    to: str = "torch",
    *,
    decay: bool | None = None,
    name: str | None = None,
    store: str = DEFAULT_STORE,
) -> str:
    """An optimizer as the text of one Python file that evoptim has no part in.

    The torch file matches :class:`evoptim.EvolvedOptimizer` bit for bit on a CPU, the optax one to
    rounding.

    Args:
        optimizer: A name of :mod:`evoptim.zoo`, a genome, its text, a JSON file, or ``run:rank``
            of a run in ``store``, whose best is ``run:best``.
        to: ``torch`` or ``optax``.
        decay: Whether the decay functions of a zoo optimizer take part; None is False.
        name: What the class (torch) or function (optax) is called; None for a name of its own.
        store: Where runs are.

    Raises:
        InputError: there is no such optimizer, target or name.

    Example:
        >>> source = export("opt7", decay=True)
        >>> "class Opt7(Optimizer)" in source
        True
    """
    from evoptim.exporter import source

    return source(_subject(optimizer, decay, store), to, name)


def _subject(optimizer: str | Genome, decay: bool | None, store: str) -> Subject:
    from evoptim import zoo
    from evoptim.exporter import genome_subject, zoo_subject

    if isinstance(optimizer, str) and optimizer.lower() in zoo.names():
        return zoo_subject(optimizer, bool(decay))
    if decay is not None:
        raise InputError(
            f"decay={decay} chooses between two forms of a zoo optimizer, but {optimizer!r} names "
            f"none of {', '.join(zoo.names())}: leave it out, a genome has its decays in its text"
        )
    if isinstance(optimizer, Genome):
        return genome_subject(optimizer)
    named = run_and_rank(optimizer)
    if named:
        run, rank = named
        place = "the best" if rank == "best" else f"rank {rank}"
        rate = entry(run, rank, store).rate
        return genome_subject(find_genome(optimizer, store), f"{place} of the run {run}", rate)
    if " ~ " not in optimizer and not optimizer.endswith(".json"):
        close = difflib.get_close_matches(optimizer.lower(), zoo.names(), n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(
            f"there is no optimizer {optimizer[:80]!r}: {meant}give a name of the zoo "
            f"({', '.join(zoo.names())}), a formula such as 'None ~ id(arcsinh(v hat))', a JSON "
            "file, or run:rank"
        )
    return genome_subject(find_genome(optimizer, store))
