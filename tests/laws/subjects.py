"""The optimizers that every law is tried on, and the table of what is skipped.

``torch.testing`` describes an optimizer by an ``OptimizerInfo``: how to build it, and which
arguments to try. Every subject is one of those: the zoo with and without decay, fifty random
genomes, and ``torch.optim.AdamW`` as the control. A law that AdamW breaks is no law of torch.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.testing._internal.common_optimizers import OptimizerInfo, OptimizerInput, optim_db

from evoptim import EvolvedOptimizer, zoo
from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.sampling import generator, sample_genome
from evoptim.update import Formula, Options, genome_formula
from evoptim.update.rule import Curve

# torch.testing freezes the flags of torch.backends when it is imported, for its own suite. Here
# other tests run in the same process.
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True

RATE = 0.01
STEPS = 40
"""total_steps wherever there is a horizon; no law goes so far, but for those of the end."""
GENOMES = 50
A_BATCH = 10
"""Random genomes in one test: alone, each would take pytest longer than the law."""


@dataclass(frozen=True)
class Subject:
    """One optimizer, and what laws have to know of it."""

    info: OptimizerInfo
    kind: str
    """zoo, genome or control."""
    horizon: bool = False
    """Whether it cannot do without total_steps."""
    stochastic: bool = False
    elementwise: bool = True
    """Whether an element of a weight tensor moves as it would alone."""
    genome: Genome | None = None
    rate: float = RATE
    """A rate at which a genome passed the integrity check."""
    rate_curve: Curve | None = None
    """The evolved function of progress that multiplies its rate."""

    @property
    def name(self) -> str:
        return str(self.info.name)

    @property
    def ours(self) -> bool:
        return self.kind != "control"

    def build(self, params: Any, **changes: Any) -> Optimizer:
        """With the defaults, but for ``changes``."""
        return self.info.optim_cls(params, **{**self.arguments(), **changes})

    def arguments(self) -> dict[str, Any]:
        """What it needs at least."""
        return {"lr": RATE, **({"total_steps": STEPS} if self.horizon else {})}

    def configurations(self, flags: Sequence[str] = ()) -> list[OptimizerInput]:
        """The argument sets of its ``OptimizerInfo``, with each of ``flags`` in turn.

        A genome among fifty tries two of them: the fifty together try all.
        """
        inputs: list[OptimizerInput] = []
        for each in self.info.optim_inputs_func(device="cpu"):
            kwargs = {**self.arguments(), **each.kwargs}
            inputs.append(OptimizerInput(None, kwargs, each.desc))
            inputs += [
                OptimizerInput(None, {**kwargs, flag: True}, f"{each.desc}, {flag}")
                for flag in flags
                if flag in self.info.supported_impls
            ]
        if self.kind != "genome":
            return inputs
        first = zlib.crc32(self.name.encode())
        return [inputs[(first + offset) % len(inputs)] for offset in (0, len(inputs) // 2)]


def inputs_of_ours(device: str, dtype: torch.dtype | None = None) -> list[OptimizerInput]:
    """As ``optim_inputs_func`` of torch: one argument set for each flag, and some together.

    Flags that exclude each other (foreach, fused) are left to the laws, as torch does.
    """
    return [
        OptimizerInput(None, {}, "default"),
        OptimizerInput(None, {"lr": torch.tensor(RATE)}, "tensor rate"),
        OptimizerInput(None, {"weight_decay": 0.1}, "coupled weight decay"),
        OptimizerInput(
            None, {"weight_decay": 0.1, "decoupled_weight_decay": True}, "decoupled weight decay"
        ),
        OptimizerInput(None, {"maximize": True, "weight_decay": 0.1}, "maximize, weight decay"),
        OptimizerInput(None, {"capturable": True}, "capturable"),
        OptimizerInput(
            None,
            {"capturable": True, "lr": torch.tensor(RATE), "weight_decay": 0.1},
            "capturable, tensor rate, weight decay",
        ),
        OptimizerInput(
            None, {"total_steps": STEPS, "warmup_steps": 2, "hold_steps": 3}, "schedule"
        ),
        OptimizerInput(
            None,
            {"total_steps": STEPS, "warmup_steps": 2, "base_schedule": False},
            "horizon without base schedule",
        ),
    ]


def _info(build: Callable[..., Optimizer], name: str) -> OptimizerInfo:
    build.__name__ = name
    impls = ("foreach", "fused") if shutil.which("g++") else ("foreach",)
    return OptimizerInfo(
        build,
        optim_inputs_func=inputs_of_ours,
        supported_impls=impls,
        has_capturable_arg=True,
        supports_fused_on=("cpu",),
    )


def _zoo_subject(name: str, decay: bool) -> Subject:
    def build(params: Any, **kwargs: Any) -> Optimizer:
        return zoo.create(name, params, decay=decay, **kwargs)

    formula = _probe(name, decay)
    rule = formula.rule(Options())
    return Subject(
        _info(build, f"{name}-decay" if decay else name),
        "zoo",
        horizon=formula.needs_horizon,
        stochastic=rule.stochastic,
        elementwise=not any(each.name == "sum" for each in rule.operations),
        rate_curve=formula.rate_curve,
    )


def _genome_subject(name: str, genome: Genome, rate: float) -> Subject:
    def build(params: Any, **kwargs: Any) -> Optimizer:
        return EvolvedOptimizer(params, genome, **kwargs)

    formula = genome_formula(genome)
    rule = formula.rule(Options())
    return Subject(
        _info(build, name),
        "genome",
        horizon=formula.needs_horizon,
        stochastic=rule.stochastic,
        elementwise=not any(each.name == "sum" for each in rule.operations),
        genome=genome,
        rate=rate,
    )


def _changes_with_decay(name: str) -> bool:
    """Whether ``decay=True`` makes another formula of it."""
    return len({_probe(name, decay).name for decay in (False, True)}) == 2


def _probe(name: str, decay: bool) -> Formula:
    one = [Parameter(torch.ones(1))]
    return zoo.create(name, one, lr=RATE, total_steps=2, decay=decay).formula


@lru_cache(maxsize=1)
def random_genomes() -> tuple[tuple[Genome, float], ...]:
    """The first fifty of a seeded stream that pass the integrity check, with sign and rate."""
    found: list[tuple[Genome, float]] = []
    place = 0
    while len(found) < GENOMES:
        genome = sample_genome(generator("laws", place), SamplingProbabilities())
        result = check_integrity(genome)
        if result.passes and result.rate is not None:
            found.append((genome.with_sign(result.sign), result.rate))
        place += 1
    return tuple(found)


CONTROL = Subject(next(each for each in optim_db if each.name == "AdamW"), "control")

ZOO: tuple[Subject, ...] = tuple(
    _zoo_subject(name, decay)
    for name in zoo.names()
    for decay in ((False, True) if _changes_with_decay(name) else (False,))
)

RANDOM: tuple[Subject, ...] = tuple(
    _genome_subject(f"genome{place:02}", genome, rate)
    for place, (genome, rate) in enumerate(random_genomes())
)

OURS = (*ZOO, *RANDOM)
SUBJECTS = (CONTROL, *OURS)


def some(*names: str) -> tuple[Subject, ...]:
    """Those called ``names``, for laws that take long."""
    by_name = {subject.name: subject for subject in SUBJECTS}
    return tuple(by_name[name] for name in names)


SKIPS: Mapping[tuple[str, str], str] = {
    ("test_autograds_compiler_takes_it_too", "AdamW"): (
        "torch's own AdamW, compiled by aot_eager, moves a weight without dimensions otherwise"
    ),
}
"""(law, subject) -> why the law is not tried on it."""


LAWS: set[str] = set()
"""Names of the laws that were defined so far."""


def holds_for(
    subjects: Sequence[Subject] = SUBJECTS,
) -> Callable[[Callable[[Subject], None]], Callable[..., None]]:
    """Make a test of a law: one for each optimizer of the zoo, one for each ten genomes."""

    def decorate(law: Callable[[Subject], None]) -> Callable[..., None]:
        @pytest.mark.parametrize("group", list(_groups(subjects)), ids=lambda group: group[0])
        def test(group: tuple[str, Sequence[Subject]]) -> None:
            skipped = []
            for subject in group[1]:
                reason = SKIPS.get((law.__name__, subject.name))
                if reason is not None:
                    skipped.append(f"{subject.name}: {reason}")
                    continue
                try:
                    law(subject)
                except Exception as error:
                    raise AssertionError(f"{subject.name}: {error}") from error
            if len(skipped) == len(group[1]):
                pytest.skip("; ".join(skipped))

        test.__name__ = law.__name__
        test.__doc__ = law.__doc__
        LAWS.add(law.__name__)
        return test

    return decorate


def _groups(subjects: Sequence[Subject]) -> Iterator[tuple[str, Sequence[Subject]]]:
    genomes = [subject for subject in subjects if subject.kind == "genome"]
    for subject in subjects:
        if subject.kind != "genome":
            yield subject.name, (subject,)
    for first in range(0, len(genomes), A_BATCH):
        batch = genomes[first : first + A_BATCH]
        yield f"{batch[0].name}-{batch[-1].name[-2:]}", batch
