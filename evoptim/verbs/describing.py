"""Show: one optimizer, from wherever it is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evoptim.errors import InputError
from evoptim.genome import Genome, StateSlot
from evoptim.verbs.ranking import entry, run_and_rank
from evoptim.verbs.searching import DEFAULT_STORE

_MAX_BYTES = 65_536


@dataclass(frozen=True)
class Description:
    """What people want to know of an optimizer."""

    genome: Genome
    id: str
    formula: str
    latex: str
    canonical: str
    """The formula of the canonical form."""
    sign: int
    state: tuple[StateSlot, ...]
    """Tensors kept for every weight tensor."""
    decays: tuple[str, ...]


def show(optimizer: str | Genome, store: str = DEFAULT_STORE) -> Description:
    """Describe an optimizer.

    Args:
        optimizer: A genome, its text (``Nest ~ id(arcsinh(v hat))``), a JSON file, or
            ``run:rank`` of a run in ``store``, whose best is ``run:best``.
        store: Where runs are.

    Raises:
        InputError: it is none of these.
    """
    genome = optimizer if isinstance(optimizer, Genome) else find_genome(optimizer, store)
    return Description(
        genome=genome,
        id=genome.id,
        formula=str(genome),
        latex=genome.to_latex(),
        canonical=str(genome.canonical()),
        sign=genome.sign,
        state=genome.state_slots(),
        decays=tuple(str(decay) for decay in genome.decays()),
    )


def find_genome(text: str, store: str = DEFAULT_STORE) -> Genome:
    """The genome that ``text`` names; see :func:`show`.

    Raises:
        InputError: it names none.
    """
    named = run_and_rank(text)
    if named:
        gene = entry(*named, store).candidate.gene
        if gene is None:
            raise InputError(f"{text} is no evolved optimizer")
        return Genome.from_json(gene)
    if " ~ " not in text and text.endswith(".json"):
        path = Path(text)
        try:
            with path.open("rb") as file:
                return Genome.from_json(file.read(_MAX_BYTES + 1))
        except OSError as error:
            raise InputError(
                f"the genome file {text!r} cannot be read: {error.strerror}: give a JSON file, "
                "a formula such as 'None ~ id(arcsinh(v hat))', or run:rank"
            ) from None
    return Genome.parse(text)
