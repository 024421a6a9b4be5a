"""A finished run as plain records, made without training anything.

Its numbers follow from a seed: candidates have a hidden quality, learning curves rise towards it,
and about a quarter of the candidates fail in one of the ways that real ones do.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from evoptim.analysis import Images, StageResult, build_archive, leaders
from evoptim.config import (
    FinalsSpec,
    FullTraining,
    ModelSpec,
    Protocol,
    RunConfig,
    ScheduleSpec,
    SearchSpec,
    Sweep,
    TaskSpec,
)
from evoptim.genome import Genome
from evoptim.records import (
    Candidate,
    Candidates,
    Cost,
    Epoch,
    Evaluation,
    Integrity,
    Outcome,
    Particle,
    Population,
    Probe,
    Score,
    Training,
)
from evoptim.report import ReportInputs

IMAGES = Images(train=997, validation=400, test=400)

_PROTOCOL = Protocol(
    task=TaskSpec(name="digits", train=997, validation=400, test=400),
    model=ModelSpec(base_width=8),
    batch_size=64,
    sweep=Sweep(
        rates=((10.0, 1e-2, 1e-5), (1.0, 0.1, 1e-3, 1e-4)),
        epochs=4,
        steps_per_epoch=12,
        schedule=ScheduleSpec(total_steps=48, warmup_steps=6),
        give_up_epoch=3,
        give_up_accuracy=0.15,
        minimum_accuracy=0.25,
    ),
    training=FullTraining(
        epochs=12,
        steps_per_epoch=25,
        schedule=ScheduleSpec(total_steps=300, warmup_steps=30),
        give_up_epoch=4,
        give_up_accuracy=0.25,
    ),
)

_OUTER = (
    "bessel_i1e(X)",
    "arctan([(a13)*(a2)][X])",
    "tanh([id(a3)][X])",
    "(X)+(10-4w)",
    "norm([sqrt(a6)][X])",
    "(X) / (sqrt(1+(s hat)^2))",
    "X/(1+|X|)",
    "clip(X, ((1-0.7)*g+0.7*v hat))",
    "id([max(a6, tanh(a10))][X])",
)
_INNER = (
    "arctan([(a13)*(a2)][X])",
    "arcsinh(X)",
    "expMovAvg(X)",
    "(X)*([deriv_tanh(a4)][sign(v hat)])",
    "(X)+([erf(a11)][v hat])",
    "erf(X)",
    "-(X)",
    "max(X, [id(a9)][sign(g)])",
)
_LEAVES = ("g", "v hat", "((1-0.7)*g+0.7*v hat)", "sign(g)", "lam hat", "mean(beta*v-g)")
_FAILURES = (
    Outcome.DIVERGED,
    Outcome.UNTRAINABLE,
    Outcome.UNTRAINABLE,
    Outcome.COLLAPSED,
    Outcome.TIMED_OUT,
    Outcome.ERRORED,
    Outcome.MISSING,
)
_BASELINES = {
    "sgd": 0.905,
    "momentum": 0.945,
    "nesterov": 0.948,
    "rmsprop": 0.951,
    "adam": 0.957,
    "adamw": 0.955,
}


@dataclass
class _World:
    """What the builder remembers while it makes up a run."""

    config: RunConfig
    random: random.Random
    failure_share: float
    failures: tuple[Outcome, ...]
    qualities: dict[str, float] = field(default_factory=dict)
    records: dict[tuple[str, str], Evaluation] = field(default_factory=dict)


def sample_config(
    *,
    initial: int = 24,
    generations: int = 4,
    particles: int = 4,
    children: int = 3,
    seeds: tuple[int, ...] = (0,),
    finals: tuple[int, ...] = FinalsSpec().seeds,
    initial_protocol: bool = False,
) -> RunConfig:
    protocol = _PROTOCOL.model_copy(update={"seeds": seeds})
    return RunConfig(
        search=SearchSpec(
            initial=initial, particles=particles, children=children, generations=generations
        ),
        initial_protocol=_PROTOCOL.model_copy(update={"batch_size": 32})
        if initial_protocol
        else None,
        protocol=protocol,
        finals=FinalsSpec(seeds=finals),
    )


def sample_run(
    config: RunConfig | None = None,
    *,
    name: str = "first-run",
    failure_share: float = 0.25,
    failures: tuple[Outcome, ...] = _FAILURES,
    finals: bool = True,
    baselines: bool = True,
    seed: int = 0,
) -> ReportInputs:
    """A finished run of ``config``."""
    world = _World(config or sample_config(), random.Random(seed), failure_share, failures)
    search = world.config.search
    stage = _initial_stage(world)
    stages = [stage]
    population = _select_initial(stage, search.particles)
    populations = [population]
    for generation in range(1, search.generations + 1):
        stage = _generation(world, population, generation)
        stages.append(stage)
        population = _select(stage, population, generation)
        populations.append(population)
    if finals:
        stages.append(_finals_stage(world, stages, world.config.baselines if baselines else ()))
    return ReportInputs(
        run=name,
        config=world.config,
        stages=tuple(stages),
        populations=tuple(populations),
        drawn=world.records,
        images=IMAGES,
        parameters=6_186,
        reused=0,
    )


def stage_of(
    generation: int, candidates: Candidates, records: Iterable[Evaluation | None]
) -> StageResult:
    """The stage that holds these records."""
    scores = tuple(None if each is None else Score.of(each) for each in records)
    return StageResult(generation, candidates, scores)


def genome_candidate(text: str, index: int = 0, role: str = "initial", **more: Any) -> Candidate:
    """A candidate of the genome that ``text`` describes."""
    genome = Genome.parse(text).with_sign(more.pop("sign", 1))
    return Candidate.model_validate(
        {
            "index": index,
            "role": role,
            "id": genome.id,
            "formula": str(genome),
            "gene": genome.to_json(),
            "integrity": Integrity(rate=0.1, loss=1.25),
            **more,
        }
    )


def baseline_candidate(name: str, index: int = 0) -> Candidate:
    """A candidate of a baseline."""
    return Candidate(index=index, role="baseline", id=name, formula=name, gene=None)


def evaluation(
    subject: str,
    protocol: str,
    fitness: float | None,
    *,
    outcome: Outcome | None = None,
    test: float | None = None,
    loss: float | None = 0.2,
    seeds: tuple[int, ...] = (0,),
    epochs: int = 12,
    message: str | None = None,
    seconds: float = 2.0,
) -> Evaluation:
    """A record with a learning curve that ends at ``fitness``."""
    outcome = outcome or (Outcome.DIVERGED if fitness is None else Outcome.TRAINED)
    trainings = (
        ()
        if fitness is None
        else tuple(_training(subject, s, fitness, test, epochs) for s in seeds)
    )
    return Evaluation(
        subject=subject,
        protocol=protocol,
        outcome=outcome,
        fitness=fitness,
        validation_loss=None if fitness is None else loss,
        test_accuracy=test if trainings else None,
        rate=None if fitness is None else 0.01,
        probes=(Probe(rate=0.01, accuracies=(0.2, 0.5), stopped="completed"),),
        trainings=trainings,
        steps=7 * 48 + (300 * len(seeds) if fitness is not None else 0),
        message=message,
        versions={"evoptim": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        cost=Cost(seconds=seconds, device="cpu"),
    )


def _training(subject: str, seed: int, fitness: float, test: float | None, epochs: int) -> Training:
    noise = random.Random(f"{subject} {seed}")
    speed = noise.uniform(0.25, 0.6)
    curve = []
    for epoch in range(epochs):
        share = 1.0 - math.exp(-speed * (epoch + 1))
        last = epoch == epochs - 1
        accuracy = fitness if last else max(0.1, fitness * share - noise.uniform(0.002, 0.02))
        curve.append(
            Epoch(
                step=25 * (epoch + 1),
                train_loss=2.3 * (1.0 - share * 0.97 * fitness) + noise.uniform(0.0, 0.02),
                train_accuracy=min(1.0, accuracy + 0.01),
                validation_loss=2.3 * (1.0 - share * fitness),
                validation_accuracy=accuracy,
            )
        )
    return Training(
        seed=seed,
        curve=tuple(curve),
        steps=25 * epochs,
        stopped="completed",
        best_epoch=epochs - 1 if epochs else None,
        test_loss=None if test is None else 0.2,
        test_accuracy=test,
    )


def _draw(world: _World, parent: str | None = None) -> str:
    """A formula that the run has not seen; a child keeps half of its parent's parts."""
    choose = world.random.choice
    while True:
        outer, inner, leaf = choose(_OUTER), choose(_INNER), choose(_LEAVES)
        momentum = choose(("None", "Mom", "Nest"))
        if parent is not None:
            momentum = parent.split(" ~ ")[0]
        text = f"{momentum} ~ {outer.replace('X', inner.replace('X', leaf))}"
        # Softsign writes its input twice, hence the plain replacement of every X.
        if Genome.parse(text).id not in world.qualities:
            return text


def _score(world: _World, candidate: Candidate, quality: float, protocol: str) -> Evaluation | None:
    draw = world.random
    seconds = draw.uniform(1.5, 3.5)
    if draw.random() < world.failure_share:
        outcome = draw.choice(world.failures)
        world.qualities[candidate.id] = 0.0
        if outcome is Outcome.MISSING:
            return None
        if outcome is not Outcome.COLLAPSED:
            message = "RuntimeError: out of memory" if outcome is Outcome.ERRORED else None
            return evaluation(
                candidate.id, protocol, None, outcome=outcome, message=message, seconds=seconds
            )
        quality = 0.3
    else:
        outcome = Outcome.TRAINED
    fitness = round(quality * 400) / 400
    world.qualities[candidate.id] = fitness
    return evaluation(
        candidate.id,
        protocol,
        fitness,
        outcome=outcome,
        loss=round(1.2 - quality + draw.uniform(0.0, 0.05), 4),
        seeds=world.config.protocol.seeds,
        seconds=seconds,
    )


def _stage(world: _World, generation: int, found: list[Candidate], protocol: str) -> StageResult:
    records = []
    for candidate in found:
        before = world.qualities.get(candidate.parent or candidate.id, 0.0)
        if candidate.role == "initial":
            quality = 0.95 - abs(world.random.gauss(0.0, 0.09))
        else:
            quality = min(0.98, max(0.6, before + world.random.gauss(-0.004, 0.02)))
        records.append(_score(world, candidate, quality, protocol))
    return _remembered(
        world, generation, Candidates(protocol=protocol, candidates=tuple(found)), records
    )


def _remembered(
    world: _World,
    generation: int,
    candidates: Candidates,
    records: Sequence[Evaluation | None],
) -> StageResult:
    world.records |= {(each.subject, each.protocol): each for each in records if each is not None}
    return stage_of(generation, candidates, records)


def _finals_stage(
    world: _World, stages: Sequence[StageResult], baselines: Sequence[str]
) -> StageResult:
    config = world.config
    protocol = config.finals_protocol()
    archive = build_archive("any", config, stages)
    best = [each.candidate for each in leaders(archive, config.finals.candidates)]
    found = [each.model_copy(update={"role": "finalist"}) for each in best]
    found += [baseline_candidate(name) for name in baselines]
    placed = tuple(each.model_copy(update={"index": i}) for i, each in enumerate(found))
    records = [
        final_evaluation(
            each.id,
            protocol.content_id(),
            _BASELINES.get(each.id, world.qualities.get(each.id, 0.0) - 0.006),
            protocol.seeds,
        )
        for each in placed
    ]
    proposed = Candidates(protocol=protocol.content_id(), candidates=placed)
    return _remembered(world, 0, proposed, records)


def final_evaluation(
    subject: str, protocol: str, quality: float, seeds: tuple[int, ...], spread: float = 0.004
) -> Evaluation:
    """A record of the finals: every seed has its own luck, which all optimizers share in part."""
    trainings = []
    for seed in seeds:
        shared, own = random.Random(seed), random.Random(f"{subject} {seed}")
        luck = shared.gauss(0.0, spread) + own.gauss(0.0, spread)
        validation = min(1.0, quality + luck)
        test = min(1.0, quality - 0.0075 + luck + own.gauss(0.0, spread / 4))
        trainings.append(_training(subject, seed, validation, test, 12))
    record = evaluation(subject, protocol, quality, seeds=seeds)
    return record.model_copy(
        update={
            "trainings": tuple(trainings),
            "fitness": fmean(each.curve[-1].validation_accuracy for each in trainings),
            "test_accuracy": fmean(each.test_accuracy or 0.0 for each in trainings),
        }
    )


def _initial_stage(world: _World) -> StageResult:
    config = world.config
    protocol = (config.initial_protocol or config.protocol).content_id()
    found: list[Candidate] = []
    for index in range(config.search.initial):
        candidate = genome_candidate(_draw(world), index, sign=world.random.choice((1, 1, 1, -1)))
        world.qualities[candidate.id] = 0.0
        found.append(candidate)
    return _stage(world, 0, found, protocol)


def _generation(world: _World, population: Population, generation: int) -> StageResult:
    found: list[Candidate] = []
    if world.config.initial_protocol is not None and generation == 1:
        for particle in population.particles:
            found.append(
                Candidate(
                    index=len(found),
                    role="particle",
                    id=particle.id,
                    formula=particle.formula,
                    gene=particle.gene,
                    particle=particle.particle,
                    parent=None,
                )
            )
    for particle in population.particles:
        for _ in range(world.config.search.children):
            candidate = genome_candidate(
                _draw(world, particle.formula),
                len(found),
                role="child",
                particle=particle.particle,
                parent=particle.id,
                change=world.random.choice(
                    (
                        "operator of the root: tanh becomes arctan",
                        "second input of hidden node 0: v hat becomes sign(g)",
                        "decay of the first input: a new one, (a13)*(a2)",
                        "hidden node 0 gains the input 10-4w",
                    )
                ),
            )
            world.qualities[candidate.id] = 0.0
            found.append(candidate)
    return _stage(world, generation, found, world.config.protocol.content_id())


def _particle(number: int, stage: StageResult, index: int, generation: int) -> Particle:
    candidate, record = stage.candidates.candidates[index], stage.scores[index]
    return Particle(
        particle=number,
        id=candidate.id,
        formula=candidate.formula,
        gene=candidate.gene or {},
        fitness=record.fitness if record else None,
        validation_loss=record.validation_loss if record else None,
        generation=generation,
    )


def _fitness(stage: StageResult, index: int) -> float:
    record = stage.scores[index]
    return -1.0 if record is None or record.fitness is None else record.fitness


def _select_initial(stage: StageResult, count: int) -> Population:
    order = sorted(range(len(stage.scores)), key=lambda index: -_fitness(stage, index))
    return Population(
        generation=0,
        particles=tuple(_particle(n, stage, i, 0) for n, i in enumerate(order[:count])),
    )


def _select(stage: StageResult, before: Population, generation: int) -> Population:
    particles = []
    for particle in before.particles:
        children = [
            candidate.index
            for candidate in stage.candidates.candidates
            if candidate.role == "child" and candidate.particle == particle.particle
        ]
        best = max(children, key=lambda index: _fitness(stage, index))
        particles.append(_particle(particle.particle, stage, best, generation))
    return Population(generation=generation, particles=tuple(particles))
