"""Where everything lies in a store; no other file knows.

::

    runs/<run>/config.json
    runs/<run>/generations/<ggg>/candidates.json
    runs/<run>/generations/<ggg>/candidates/<nnn>.json    parts of it, where it is long
    runs/<run>/generations/<ggg>/evaluations/<nnnnn>.json
    runs/<run>/generations/<ggg>/population.json
    runs/<run>/finals/candidates.json
    runs/<run>/finals/evaluations/<nnnnn>.json
    runs/<run>/report/{index.html, summary.json, archive.json, champion.json, champion.py}
    runs/<run>/logs/<started>.log
    runs/<run>/submissions/<nnn>.json
    evaluations/<subject id>/<protocol id>.json       shared by all runs
    images/<fingerprint>.npz                          decoded ones, likewise
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from evoptim.errors import InputError
from evoptim.store.base import check_key

GENERATIONS: Final = 1_000
"""Generations that a run may have: their names have three digits, so that they sort."""
SUBMISSIONS: Final = 1_000
"""How often a run may be submitted to clusters: the names have three digits."""
EVALUATIONS: Final = 100_000
"""Evaluations that a stage may have: their names have five digits."""

CANDIDATES_IN_PART: Final = 100
"""Candidates of a part of a stage; shorter stages have none. A task reads its parts alone."""

ReportFile = Literal["index.html", "summary.json", "archive.json", "champion.json", "champion.py"]

_RUN_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_STAGE: Final = re.compile(r"finals|generations/(?P<generation>[0-9]{3})")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, order=True)
class Stage:
    """A part of a run that proposes candidates and evaluates them: a generation or the finals.

    Its text, ``generations/003`` or ``finals``, is its folder in the run and what steps pass to
    each other. Make one with :meth:`generation`, :meth:`finals` or :meth:`parse`.
    """

    text: str

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.text):
            raise InputError(
                f"a stage must be 'finals' or 'generations/' and three digits, "
                f"got {self.text!r}; give for example generations/003"
            )

    @classmethod
    def generation(cls, number: int) -> Stage:
        """The stage of generation 0, 1, …"""
        return cls(f"generations/{_bounded('generation', number, GENERATIONS):03d}")

    @classmethod
    def finals(cls) -> Stage:
        """The stage that measures the best of all generations and the baselines afresh."""
        return cls("finals")

    @classmethod
    def parse(cls, text: str) -> Stage:
        """The stage with this text; raises InputError if there is none."""
        return cls(text)

    @property
    def number(self) -> int | None:
        """The number of the generation; None for the finals."""
        match = _STAGE.fullmatch(self.text)
        digits = match["generation"] if match else None
        return None if digits is None else int(digits)

    def __str__(self) -> str:
        return self.text


def check_run_name(run: str) -> str:
    """The name itself, if it can name a run, which is also a name in Kubernetes (RFC 1123)."""
    if _RUN_NAME.fullmatch(run):
        return run
    raise InputError(
        f"a run name must be 1 to 63 lower-case letters, digits and '-', with no '-' first or "
        f"last, got {run[:80]!r}; choose for example first-run"
    )


def run_prefix(run: str) -> str:
    """What all keys of a run start with."""
    return f"runs/{check_run_name(run)}/"


def config_key(run: str) -> str:
    """The configuration under which the run was started."""
    return f"{run_prefix(run)}config.json"


def candidates_key(run: str, stage: Stage) -> str:
    """What the stage evaluates, in order."""
    return f"{run_prefix(run)}{stage}/candidates.json"


def candidates_part_key(run: str, stage: Stage, part: int) -> str:
    """Some of what the stage evaluates: the part with this number, counted from 0."""
    number = _bounded("part", part, EVALUATIONS // CANDIDATES_IN_PART)
    return f"{run_prefix(run)}{stage}/candidates/{number:03d}.json"


def evaluations_prefix(run: str, stage: Stage) -> str:
    """What the keys of all evaluations of a stage start with."""
    return f"{run_prefix(run)}{stage}/evaluations/"


def evaluation_key(run: str, stage: Stage, index: int) -> str:
    """The evaluation of the stage's candidate at this index, counted from 0."""
    number = _bounded("evaluation index", index, EVALUATIONS)
    return f"{evaluations_prefix(run, stage)}{number:05d}.json"


def population_key(run: str, generation: int) -> str:
    """The particles after the selection that ends a generation."""
    return f"{run_prefix(run)}{Stage.generation(generation)}/population.json"


def report_key(run: str, name: ReportFile) -> str:
    """One file of the report."""
    if name in get_args(ReportFile):
        return f"{run_prefix(run)}report/{name}"
    raise InputError(
        f"a report file must be one of {', '.join(get_args(ReportFile))}, got {name!r}; "
        f"choose one of these"
    )


def log_key(run: str, started: str) -> str:
    """What the engine said while it ran a search; a run that is continued has several.

    Args:
        run: the name of the run.
        started: when, such as ``20250131T235959``, so that names sort by time.
    """
    return f"{run_prefix(run)}logs/{_checked_name('start time', started)}.log"


def submissions_prefix(run: str) -> str:
    """What the keys of all submissions of a run start with."""
    return f"{run_prefix(run)}submissions/"


def submission_key(run: str, number: int) -> str:
    """Where a run was sent: 0 is its first submission, later ones continued it."""
    return f"{submissions_prefix(run)}{_bounded('submission', number, SUBMISSIONS):03d}.json"


def shared_evaluation_key(subject_id: str, protocol_id: str) -> str:
    """The evaluation of a subject under a protocol, which every run reuses.

    Args:
        subject_id: content id of a genome, or the id of a baseline.
        protocol_id: content id of the protocol.
    """
    subject, protocol = _checked_name("id", subject_id), _checked_name("id", protocol_id)
    return check_key(f"evaluations/{subject}/{protocol}.json")


def images_key(fingerprint: str) -> str:
    """Where the decoded images of a task lie, for all runs and machines.

    Raises:
        InputError: the fingerprint is none.
    """
    return check_key(f"images/{_checked_name('fingerprint', fingerprint)}.npz")


def _checked_name(what: str, name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise InputError(
        f"the {what} in a key must be letters, digits, '.', '_' and '-', got {name[:80]!r}; "
        f"correct it"
    )


def _bounded(what: str, number: int, bound: int) -> int:
    if 0 <= number < bound:
        return number
    raise InputError(f"a {what} must be from 0 to {bound - 1}, got {number}; split the search")
