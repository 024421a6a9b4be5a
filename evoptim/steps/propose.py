"""The step that decides what a stage evaluates."""

from __future__ import annotations

from functools import partial

from evoptim.config import RunConfig
from evoptim.evolution import OptimizerGene, propose_children, propose_initial
from evoptim.records import Candidate, Candidates
from evoptim.steps.chunks import chunk_numbers
from evoptim.steps.parts import write_candidates
from evoptim.steps.processes import in_order
from evoptim.steps.reading import read_candidates, read_config, read_population, stage_protocol
from evoptim.steps.waiting import is_proposed
from evoptim.store import Stage, Store, open_store


def propose(store: str, run: str, generation: int, candidates_per_task: int) -> list[int]:
    """Write the candidates of ``generation``: random ones for 0, else mutants of the population.

    Returns:
        The numbers of the chunks in which they are to be evaluated.

    Raises:
        InputError: the run is unknown or not that far, or its search space is exhausted.
    """
    opened = open_store(store)
    stage = Stage.generation(generation)
    if is_proposed(opened, run, stage):
        candidates = read_candidates(opened, run, stage).candidates
    else:
        config = read_config(opened, run)
        candidates = _candidates(opened, run, config, generation)
        _write(opened, run, stage, config, candidates)
    return chunk_numbers(len(candidates), candidates_per_task)


def propose_baselines(store: str, run: str, candidates_per_task: int) -> list[int]:
    """Write the baselines of the run as candidates; returns chunk numbers as :func:`propose`."""
    from evoptim.optim.baselines import BASELINES

    opened = open_store(store)
    config = read_config(opened, run)
    candidates = tuple(
        Candidate(index=index, role="baseline", id=name, formula=BASELINES[name].formula, gene=None)
        for index, name in enumerate(config.baselines)
    )
    _write(opened, run, Stage.baselines(), config, candidates)
    return chunk_numbers(len(candidates), candidates_per_task)


def _candidates(
    store: Store, run: str, config: RunConfig, generation: int
) -> tuple[Candidate, ...]:
    search = config.search
    gene = OptimizerGene(search.sampling, search.mutation)
    spread = partial(in_order, what=f"candidates of generation {generation} drawn")
    if generation == 0:
        return propose_initial(gene, config.seed, search.initial, in_order=spread)
    return propose_children(
        gene,
        config.seed,
        read_population(store, run, generation - 1),
        search.children,
        _seen(store, run, generation),
        score_particles=generation == 1 and config.initial_protocol is not None,
        in_order=spread,
    )


def _seen(store: Store, run: str, generation: int) -> list[str]:
    """Ids of everything proposed before ``generation``."""
    earlier = (
        read_candidates(store, run, Stage.generation(number)) for number in range(generation)
    )
    return [each.id for stage in earlier for each in stage.candidates]


def _write(
    store: Store, run: str, stage: Stage, config: RunConfig, candidates: tuple[Candidate, ...]
) -> None:
    protocol = stage_protocol(config, stage).content_id()
    write_candidates(store, run, stage, Candidates(protocol=protocol, candidates=candidates))
