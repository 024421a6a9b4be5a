"""A run with as many evaluations as one likes, written in seconds, for what must scale.

Its genomes are real and all different. Records have the size and the shape of the quickstart's:
seven probes and two trainings of 16 epochs; some hundreds of different ones are used over and
over, each time under the id of another genome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from sample_run import baseline_candidate, evaluation, final_evaluation

from evoptim import steps
from evoptim.config import RunConfig, SamplingProbabilities, SearchSpec, preset
from evoptim.genome import Genome
from evoptim.records import Candidate, Candidates, Integrity, Outcome, Probe
from evoptim.sampling import sample_genome
from evoptim.steps.reading import read_population
from evoptim.store import Stage, open_store, to_json
from evoptim.store.layout import candidates_key, config_key, evaluation_key

CHILDREN = 5
_TEMPLATES = 300
_NOBODY = "f" * 16
_FAILED = (Outcome.DIVERGED, Outcome.UNTRAINABLE, Outcome.TIMED_OUT, Outcome.ERRORED)


def large_config(records: int, generations: int = 1) -> RunConfig:
    """A search that evaluates ``records`` genomes, the same number in every generation."""
    each = records // generations
    if each * generations != records or each % CHILDREN:
        raise ValueError(f"{records} records are no {generations} generations of {CHILDREN} * n")
    particles = each // CHILDREN if generations > 1 else 1
    search = SearchSpec(
        initial=each, particles=particles, children=CHILDREN, generations=generations - 1
    )
    return preset("quickstart").model_copy(update={"search": search})


def write_large_run(
    store: Path,
    run: str,
    records: int,
    generations: int = 1,
    on_written: Callable[[int], None] = lambda count: None,
) -> RunConfig:
    """Write a run whose every generation is evaluated, and selected up to the one before the last.

    Args:
        store: Folder of the store.
        run: Name of the run.
        records: Evaluations, those of the finals not counted.
        generations: Generations that they are spread over, the initial one counted.
        on_written: Called with the number of evaluations written so far.
    """
    config = large_config(records, generations)
    _write(store, config_key(run), to_json(config))
    protocol = config.protocol.content_id()
    texts = _texts(protocol)
    genomes = _genomes()
    written = 0
    for number in range(generations):
        stage = Stage.generation(number)
        candidates = _candidates(store, run, number, records // generations, genomes)
        _write(
            store,
            candidates_key(run, stage),
            to_json(Candidates(protocol=protocol, candidates=candidates)),
        )
        for each in candidates:
            text = texts[written % _TEMPLATES].replace(_NOBODY.encode(), each.id.encode())
            _write(store, evaluation_key(run, stage, each.index), text)
            written += 1
            on_written(written)
        if number < generations - 1:
            steps.select(str(store), run, number)
    _write_finals(store, run, config, candidates[0])
    return config


def _candidates(
    store: Path, run: str, generation: int, count: int, genomes: Iterator[Genome]
) -> tuple[Candidate, ...]:
    if generation == 0:
        return tuple(_candidate(next(genomes), index) for index in range(count))
    particles = read_population(open_store(str(store)), run, generation - 1).particles
    return tuple(
        _candidate(next(genomes), index, parent.particle, parent.id)
        for index, parent in enumerate(each for each in particles for _ in range(CHILDREN))
    )


def _candidate(
    genome: Genome, index: int, particle: int | None = None, parent: str | None = None
) -> Candidate:
    return Candidate(
        index=index,
        role="initial" if parent is None else "child",
        id=genome.id,
        formula=str(genome),
        gene=genome.to_json(),
        particle=particle,
        parent=parent,
        change=None if parent is None else "operator of the root: tanh becomes arctan",
        integrity=Integrity(rate=0.1, loss=1.25),
    )


def _genomes() -> Iterator[Genome]:
    random, seen = Random(0), set()
    while True:
        genome = sample_genome(random, SamplingProbabilities())
        if genome.id not in seen:
            seen.add(genome.id)
            yield genome


def _texts(protocol: str) -> list[bytes]:
    """Records of a genome that is nobody, as they are stored."""
    random = Random(0)
    found = []
    for place in range(_TEMPLATES):
        quality = round(random.uniform(0.3, 0.97), 3)
        outcome = _FAILED[place // 4 % len(_FAILED)] if place % 4 == 3 else Outcome.TRAINED
        record = evaluation(
            _NOBODY,
            protocol,
            None if outcome.failed else quality,
            outcome=outcome,
            loss=1.2 - quality + random.uniform(0.0, 0.05),
            seeds=(0, 1),
            epochs=16,
            message="RuntimeError: out of memory" if outcome is Outcome.ERRORED else None,
            seconds=random.uniform(1.5, 3.5),
        )
        found.append(to_json(record.model_copy(update={"probes": _probes(random)})))
    return found


def _probes(random: Random) -> tuple[Probe, ...]:
    return tuple(
        Probe(
            rate=rate,
            accuracies=tuple(random.uniform(0.1, 0.9) for _ in range(4)),
            stopped="completed",
        )
        for rate in (10.0, 1e-2, 1e-5, 1.0, 0.1, 1e-3, 1e-4)
    )


def _write_finals(store: Path, run: str, config: RunConfig, best: Candidate) -> None:
    stage, protocol = Stage.finals(), config.finals_protocol()
    found = [best.model_copy(update={"role": "finalist"})]
    found += [baseline_candidate(name) for name in config.baselines]
    placed = tuple(each.model_copy(update={"index": index}) for index, each in enumerate(found))
    proposed = Candidates(protocol=protocol.content_id(), candidates=placed)
    _write(store, candidates_key(run, stage), to_json(proposed))
    for each in placed:
        record = final_evaluation(each.id, proposed.protocol, 0.9, protocol.seeds)
        _write(store, evaluation_key(run, stage, each.index), to_json(record))


def _write(store: Path, key: str, data: bytes) -> None:
    # The store itself waits for the disk after every object.
    path = store / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
