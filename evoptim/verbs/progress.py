"""How far a run has come, read from its store: it works alike wherever the steps run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from evoptim.config import RunConfig
from evoptim.errors import InfrastructureError
from evoptim.records import Evaluation
from evoptim.steps.reading import (
    planned_in,
    read_candidates,
    read_config,
    read_population,
    stage_protocol,
    stages,
)
from evoptim.store import Stage, Store, load
from evoptim.store.layout import candidates_key, evaluations_prefix, population_key

# Evaluations that one look reads, so that the first look at a run of 100,000 takes seconds.
_READ = 2_000
_THREADS = 16


@dataclass(frozen=True)
class Status:
    """How far a search has come."""

    done: int
    """Evaluations that are settled, the finals included: in the store, or given up by selection."""
    planned: int
    """Evaluations of the whole run; of one that ended early, those of its generations."""
    failed: int
    """Those without a fitness, of all that were read."""
    best: float | None
    """Best validation accuracy of an evolved optimizer so far, a fraction."""
    stage: str | None
    """Where the latest evaluation belongs: ``generation 3`` or ``finals``; None before it."""
    share: float
    """Of the most training that the planned evaluations can take, what the settled ones can: 0 to
    1. An evaluation of the finals has more trainings than one of the search."""
    unread: int = 0
    """Settled evaluations that were only counted; their generations' best are known all the same
    once these are selected."""


class Progress:
    """Follows a run through its store; each look costs a few requests and what is new.

    Only the generation at work, or the finals, are listed. Of generations that were finished
    before the first look, the populations tell the best.
    """

    def __init__(self, store: Store, run: str, config: RunConfig) -> None:
        self._store = store
        self._run = run
        self._config = config
        self._planned = {stage: planned_in(config, stage) for stage in stages(config)}
        self._finals: int | None = None
        self._protocol: str | None = None
        self._seen: dict[Stage, set[str]] = {}
        self._queue: list[tuple[Stage, str]] = []
        self._generation: int | None = None
        self._finished: dict[Stage, int] = {}
        self._unlisted = 0
        self._failed = 0
        self._best: float | None = None

    def update(self) -> Status:
        """Look again.

        Raises:
            InputError: an object is broken, or the store refuses.
        """
        # A store that fails for a moment must not end a search of days: its steps will tell.
        with suppress(InfrastructureError):
            if self._generation is None:
                self._begin()
            self._advance()
            self._look_for_the_finals()
            self._read()
        return self._status()

    def _begin(self) -> None:
        """Find the generation at work; those before it are as good as counted."""
        low, high = 0, self._config.search.generations + 1
        while low < high:
            middle = (low + high) // 2
            if self._is_selected(middle):
                low = middle + 1
            else:
                high = middle
        finished = [Stage.generation(number) for number in range(low)]
        self._finished = {stage: planned_in(self._config, stage) for stage in finished}
        count = sum(self._finished.values())
        if count <= _READ:
            for stage in finished:
                self._list(stage)
        else:
            self._take_populations(finished)
            self._unlisted = count
        self._generation = low

    def _advance(self) -> None:
        while (number := self._generation or 0) <= self._config.search.generations:
            # Asked first: what is listed after the selection is complete.
            selected = self._is_selected(number)
            stage = Stage.generation(number)
            self._list(stage)
            if not selected:
                return
            self._finished[stage] = planned_in(self._config, stage)
            self._generation = number + 1

    def _look_for_the_finals(self) -> None:
        """They follow the last generation, which need not be the one that was planned."""
        number, stage = self._generation or 0, Stage.finals()
        if number <= self._config.search.generations and self._seen.get(Stage.generation(number)):
            return
        if self._finals is None and self._store.exists(candidates_key(self._run, stage)):
            self._finals = len(read_candidates(self._store, self._run, stage).candidates)
        if self._finals is not None:
            self._list(stage)

    def _is_selected(self, generation: int) -> bool:
        return self._store.exists(population_key(self._run, generation))

    def _list(self, stage: Stage) -> None:
        seen = self._seen.setdefault(stage, set())
        if stage.number is None and len(seen) == self._finals:
            return
        found = set(self._store.list(evaluations_prefix(self._run, stage))) - seen
        seen |= found
        self._queue += [(stage, key) for key in sorted(found)]

    def _read(self) -> None:
        now, later = self._queue[:_READ], self._queue[_READ:]
        if not now:
            return
        with ThreadPoolExecutor(_THREADS) as pool:
            read = list(pool.map(lambda each: load(self._store, each[1], Evaluation), now))
        if self._protocol is None:
            # The given configuration may not know its data's fingerprints yet.
            stored = read_config(self._store, self._run)
            self._protocol = stored.protocol.content_id()
        self._queue = later
        for (stage, _), evaluation in zip(now, read, strict=True):
            self._failed += evaluation.fitness is None
            if stage.number is not None and evaluation.protocol == self._protocol:
                self._improve([evaluation.fitness])

    def _take_populations(self, stages: Iterable[Stage]) -> None:
        first = 0 if self._config.initial_protocol is None else 1
        numbers = [stage.number for stage in stages if (stage.number or 0) >= first]
        with ThreadPoolExecutor(_THREADS) as pool:
            populations = pool.map(
                lambda number: read_population(self._store, self._run, number or 0), numbers
            )
            for population in populations:
                self._improve(particle.fitness for particle in population.particles)

    def _improve(self, fitnesses: Iterable[float | None]) -> None:
        known = [each for each in (self._best, *fitnesses) if each is not None]
        self._best = max(known, default=None)

    def _status(self) -> Status:
        generation = self._generation or 0
        settled = dict(self._finished)
        stage = f"generation {generation - 1}" if generation else None
        if generation <= self._config.search.generations:
            at_work = self._seen.get(Stage.generation(generation), set())
            settled[Stage.generation(generation)] = len(at_work)
            stage = f"generation {generation}" if at_work else stage
        finals = self._seen.get(Stage.finals(), set())
        settled[Stage.finals()] = len(finals)
        planned = self._planned
        if self._finals is not None:
            planned = self._finished | {Stage.finals(): self._finals}
        return Status(
            done=sum(settled.values()),
            planned=sum(planned.values()),
            failed=self._failed,
            best=self._best,
            stage="finals" if finals else stage,
            share=self._most_steps(settled) / self._most_steps(planned),
            unread=self._unlisted + len(self._queue),
        )

    def _most_steps(self, evaluations: Mapping[Stage, int]) -> int:
        return sum(
            count * stage_protocol(self._config, stage).most_steps
            for stage, count in evaluations.items()
        )
