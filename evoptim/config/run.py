"""One search, as a typed value: what is evolved, how, and how fitness is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from evoptim.config.finals import FinalsSpec
from evoptim.config.probabilities import MutationProbabilities, SamplingProbabilities
from evoptim.config.protocol import Count, Fraction, Protocol, Seed, distinct
from evoptim.config.screens import Screens
from evoptim.config.value import Value

BaselineName = Literal["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"]

MAX_GENERATION = 999
"""The last generation that a run can have: stores number them with three digits."""
MAX_CANDIDATES = 100_000
"""The most that one generation can evaluate: stores number evaluations with five digits."""


class SearchSpec(Value):
    """The mutation-only, particle-based genetic algorithm."""

    initial: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)]
    """Random genomes that generation 0 evaluates; each has passed the integrity check."""
    particles: Count
    """Lines of descent: the best of the initial genomes."""
    children: Count
    """Mutants that each particle proposes in each generation."""
    generations: Annotated[int, Field(ge=0, le=MAX_GENERATION)]
    """Generations after the initial one."""
    replacement: Literal["always", "elitist"] = "always"
    """``always``: the best child replaces its parent even if it is worse (the paper's choice).
    ``elitist``: only if it is better."""
    sampling: SamplingProbabilities = SamplingProbabilities()
    mutation: MutationProbabilities = MutationProbabilities()

    @model_validator(mode="after")
    def _enough(self) -> SearchSpec:
        if self.particles > self.initial:
            raise ValueError(
                f"particles are chosen among the initial genomes: {self.particles} particles need "
                f"at least as many, got initial = {self.initial}"
            )
        # A generation may evaluate its particles once more.
        largest = self.particles * (self.children + 1)
        if largest > MAX_CANDIDATES:
            raise ValueError(
                f"a generation evaluates at most {MAX_CANDIDATES}, got {self.particles} particles "
                f"and {self.children} children of each: lower one of them"
            )
        return self


class RunConfig(Value):
    """The whole configuration of a search; the same one gives the same run, bit for bit."""

    seed: Seed = 0
    """Seed of every random choice of the search."""
    search: SearchSpec
    initial_protocol: Protocol | None = None
    """How the initial genomes are scored; None scores them under ``protocol``."""
    protocol: Protocol
    """How particles and children are scored; the finals too, under seeds of their own."""
    finals: FinalsSpec = FinalsSpec()
    """How the best of the search are compared with the baselines at its end."""
    baselines: Annotated[tuple[BaselineName, ...], AfterValidator(distinct)] = (
        "sgd",
        "momentum",
        "nesterov",
        "rmsprop",
        "adam",
        "adamw",
    )
    """Optimizers of torch that take part in the finals: same rates, same seeds."""
    screens: Screens = Screens()
    """What decides that a genome is not worth its training; baselines are always trained."""
    max_missing_fraction: Fraction = 0.0
    """Share of a generation's evaluations that selection may miss (lost machines) before it
    refuses to go on; a missing evaluation counts as failed."""

    @model_validator(mode="after")
    def _fair(self) -> RunConfig:
        for name, protocol in (("protocol", self.protocol), *self._initial()):
            if protocol.test:
                raise ValueError(f"only the finals measure test images: leave {name}.test false")
            known = sorted({*protocol.seeds} & {*self.finals.seeds})
            if known:
                raise ValueError(
                    f"the finals need seeds that chose nothing, but {known[0]} is also in "
                    f"{name}.seeds: give finals.seeds others"
                )
        tuning = self.finals.tuning
        tuned = sorted({*self.finals.seeds} & {*(tuning.seeds if tuning else ())})
        if tuned:
            raise ValueError(
                f"the finals need seeds that chose nothing, but {tuned[0]} is also in "
                "finals.tuning.seeds: give one of them others"
            )
        return self

    def _initial(self) -> tuple[tuple[str, Protocol], ...]:
        first = self.initial_protocol
        return () if first is None else (("initial_protocol", first),)

    def finals_protocol(self) -> Protocol:
        """How finalists and baselines are measured: fresh seeds, and test images too."""
        finals = {"seeds": self.finals.seeds, "tuning": self.finals.tuning, "test": True}
        return self.protocol.model_copy(update=finals)
