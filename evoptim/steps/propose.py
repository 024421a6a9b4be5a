"""The step that decides what a stage evaluates."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from evoptim.analysis import build_archive, leaders
from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.evolution import Firsts, OptimizerGene, bars, propose_children, propose_initial
from evoptim.records import Candidate, Candidates, Population
from evoptim.steps.chunks import chunk_numbers
from evoptim.steps.parts import write_candidates
from evoptim.steps.processes import in_order
from evoptim.steps.reading import (
    open_generation,
    protocol_changes,
    read_candidates,
    read_config,
    read_population,
    read_stages,
    stage_protocol,
)
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
        count = len(read_candidates(opened, run, stage).candidates)
    else:
        config = read_config(opened, run)
        previous = None if generation == 0 else read_population(opened, run, generation - 1)
        candidates = _candidates(opened, run, config, previous)
        count = _write(opened, run, stage, config, candidates, previous)
    return chunk_numbers(count, candidates_per_task)


def propose_finals(store: str, run: str, candidates_per_task: int, patience: int = 0) -> list[int]:
    """Write who takes part in the finals: the best of the search so far, and all baselines.

    Args:
        store: URL of the store.
        run: Name of the run.
        candidates_per_task: Size of a chunk.
        patience: Also when it ended early: as for :func:`evoptim.steps.next_generation`.

    Returns:
        The numbers of the chunks in which they are to be evaluated.

    Raises:
        InputError: the run is unknown, or one of its generations is not selected yet.
    """
    opened = open_store(store)
    stage = Stage.finals()
    if is_proposed(opened, run, stage):
        count = len(read_candidates(opened, run, stage).candidates)
    else:
        config = read_config(opened, run)
        _check_ended(opened, run, config, patience)
        count = _write(opened, run, stage, config, _finalists(opened, run, config))
    return chunk_numbers(count, candidates_per_task)


def _check_ended(store: Store, run: str, config: RunConfig, patience: int) -> None:
    number = open_generation(store, run, config, patience)
    if number is not None:
        raise InputError(
            f"the finals of the run {run!r} follow its last generation, but generation {number} is "
            "not selected yet: run its steps first"
        )


def _finalists(store: Store, run: str, config: RunConfig) -> tuple[Candidate, ...]:
    from evoptim.optim.baselines import BASELINES

    archive = build_archive(run, config, read_stages(store, run, config, finals=False))
    best = leaders(archive, config.finals.candidates)
    found = [each.candidate.model_copy(update={"role": "finalist"}) for each in best]
    found += [
        Candidate(index=0, role="baseline", id=name, formula=BASELINES[name].formula, gene=None)
        for name in config.baselines
    ]
    return tuple(each.model_copy(update={"index": index}) for index, each in enumerate(found))


def _candidates(
    store: Store, run: str, config: RunConfig, previous: Population | None
) -> Iterable[Candidate]:
    search = config.search
    gene = OptimizerGene(search.sampling, search.mutation, config.screens.duplicates)
    generation = 0 if previous is None else previous.generation + 1
    spread = partial(in_order, what=f"candidates of generation {generation} drawn")
    if previous is None:
        drawn = propose_initial(gene, config.seed, search.initial, in_order=spread)
        return Firsts().mark(drawn, generation)
    seen, firsts = _earlier(store, run, config, generation)
    drawn = propose_children(
        gene,
        config.seed,
        previous,
        search.children,
        seen,
        score_particles=protocol_changes(config, generation),
        in_order=spread,
    )
    return firsts.mark(drawn, generation)


def _earlier(
    store: Store, run: str, config: RunConfig, generation: int
) -> tuple[list[str], Firsts]:
    """Ids of everything proposed before ``generation``, and what may have duplicates in it."""
    seen: list[str] = []
    firsts = Firsts()
    protocol = stage_protocol(config, Stage.generation(generation)).content_id()
    for number in range(generation):
        stage = read_candidates(store, run, Stage.generation(number))
        seen += [each.id for each in stage.candidates]
        # A fitness under another protocol would be another number.
        if stage.protocol == protocol:
            firsts.remember(stage.candidates, number)
    return seen, firsts


def _write(
    store: Store,
    run: str,
    stage: Stage,
    config: RunConfig,
    candidates: Iterable[Candidate],
    previous: Population | None = None,
) -> int:
    """How many they are."""
    about = Candidates(
        protocol=stage_protocol(config, stage).content_id(),
        candidates=(),
        bars=() if previous is None else _bars(config, previous),
    )
    return write_candidates(store, run, config, stage, about, candidates)


def _bars(config: RunConfig, previous: Population) -> tuple[float, ...]:
    """What trainings of the generation after ``previous`` have to reach."""
    spec = config.screens.hopeless
    # Learning curves under another protocol say nothing.
    if spec is None or protocol_changes(config, previous.generation + 1):
        return ()
    return bars(spec, previous, config.protocol.training.epochs)
