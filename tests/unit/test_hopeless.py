"""Hopeless trainings: whose curves set the bars, who is stopped, and what a run records of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
from hypothesis import given
from hypothesis import strategies as st
from sample_run import genome_candidate
from tiny_run import deterministic, finish, generation, start, tiny_config

from evoptim import preset
from evoptim.analysis import account
from evoptim.config import Hopeless, JsonObject
from evoptim.evolution import bars, best_so_far
from evoptim.records import Candidates, Evaluation, Outcome, Particle, Population
from evoptim.steps.reading import read_config, read_stages
from evoptim.store import open_store
from evoptim.training import evaluate
from evoptim.training.hopeless import hopeless_after, with_bars

ACCURACIES = st.lists(st.floats(0.0, 1.0), max_size=8)


class TestVerdict:
    def test_it_falls_after_the_first_epoch_whose_best_misses_the_bar(self) -> None:
        assert hopeless_after([0.2, 0.3, 0.5], [0.1, 0.4, 0.1]) == 2

    def test_the_best_so_far_counts_not_the_last(self) -> None:
        assert hopeless_after([0.5, 0.1, 0.1], [0.1, 0.5, 0.6]) == 3

    def test_whoever_is_at_the_bar_goes_on(self) -> None:
        assert hopeless_after([0.4, 0.4], [0.4, 0.4]) is None

    @given(ACCURACIES)
    def test_without_bars_nobody_is_hopeless(self, accuracies: list[float]) -> None:
        assert hopeless_after(accuracies, ()) is None

    @given(ACCURACIES, ACCURACIES)
    def test_later_epochs_change_no_verdict(
        self, accuracies: list[float], demanded: list[float]
    ) -> None:
        epoch = hopeless_after(accuracies, demanded)
        if epoch is not None:
            assert hopeless_after(accuracies[:epoch], demanded) == epoch
            assert hopeless_after(accuracies[: epoch - 1], demanded) is None


def population(*curves: Sequence[float] | None) -> Population:
    """Particles with these curves; one without a fitness for None."""
    gene = genome_candidate("None ~ id(g)").gene or JsonObject({})
    particles = [
        Particle(
            particle=number, id=f"{number}", formula="g", gene=gene,
            fitness=None if curve is None else 0.5, validation_loss=None, generation=0,
            curve=tuple(curve or ()),
        )
        for number, curve in enumerate(curves)
    ]  # fmt: skip
    return Population(generation=0, particles=tuple(particles))


class TestBars:
    def test_the_worst_particle_sets_them_epoch_by_epoch(self) -> None:
        curves = population((0.2, 0.8, 0.9), (0.4, 0.6, 0.7))
        assert bars(Hopeless(margin=0.5, grace=0.0), curves, 3) == (0.1, 0.3)

    @pytest.mark.parametrize(("quantile", "bar"), [(0.0, 0.1), (0.5, 0.2), (0.9, 0.2), (1.0, 0.9)])
    def test_or_the_one_at_the_quantile(self, quantile: float, bar: float) -> None:
        curves = population((0.9, 0.9), (0.1, 0.9), (0.2, 0.9))
        assert bars(Hopeless(margin=1.0, quantile=quantile, grace=0.0), curves, 2) == (bar,)

    def test_particles_that_failed_set_none(self) -> None:
        assert bars(Hopeless(margin=1.0, grace=0.0), population(None, (0.3, 0.4), ()), 2) == (0.3,)
        assert bars(Hopeless(), population(None, None), 2) == ()

    def test_the_best_of_a_training_that_ended_early_counts_on(self) -> None:
        assert bars(Hopeless(margin=1.0, grace=0.0), population((0.3, 0.4)), 5) == (
            0.3,
            0.4,
            0.4,
            0.4,
        )

    @pytest.mark.parametrize(
        ("grace", "expected"), [(0.0, (0.3,) * 3), (0.5, (0.0, 0.3, 0.3)), (1.0, (0.0,) * 3)]
    )
    def test_within_the_grace_nothing_is_demanded(
        self, grace: float, expected: tuple[float, ...]
    ) -> None:
        curves = population((0.3, 0.3, 0.3, 0.3))
        assert bars(Hopeless(margin=1.0, grace=grace), curves, 4) == expected

    def test_the_curve_is_that_of_the_first_seed_and_never_falls(self) -> None:
        record = evaluate(
            "sgd", tiny.scripted(15, tiny.negate), tiny.protocol(seeds=(1, 0)), tiny.split(),
            device="cpu",
        )  # fmt: skip
        first = [epoch.validation_accuracy for epoch in record.trainings[0].curve]
        assert best_so_far(record) == (first[0], max(first[:2]), max(first))
        assert best_so_far(record.model_copy(update={"trainings": ()})) == ()


OPTIMIZERS = {
    "good": tiny.sgd,
    "diverges in the second epoch": tiny.scripted(15, tiny.poison),
    "diverges in the first epoch": tiny.scripted(5, tiny.poison),
}
STRICT = tiny.training(give_up_epoch=2, give_up_accuracy=1.0)


@pytest.mark.parametrize("training", [tiny.training(), STRICT], ids=["free", "below-bar"])
@pytest.mark.parametrize("demanded", [(), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0,)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_who_is_trained_and_who_was_get_the_same_record(
    name: str, demanded: tuple[float, ...], training: Any
) -> None:
    protocol = tiny.protocol(seeds=(0, 1), training=training)

    def run(bars: tuple[float, ...]) -> Evaluation:
        return evaluate(
            "x", OPTIMIZERS[name], protocol, tiny.split(), device="cpu", bars=bars
        )  # fmt: skip

    whole, live = run(()), run(demanded)
    judged = with_bars(whole, protocol.training, demanded)
    assert judged.deterministic() == live.deterministic()
    assert judged.cost.seconds <= whole.cost.seconds
    if live.outcome is Outcome.STOPPED:
        (training,) = live.trainings
        assert (live.fitness, live.test_accuracy, training.test_accuracy) == (None, None, None)
        assert training.stopped == "hopeless"
        assert training.steps == 10 * len(training.curve) < 30
        assert live.message is not None
        assert "the population demanded 100.0%" in live.message
    else:
        assert live.deterministic() == whole.deterministic()
    if name == "good" and 1.0 in demanded:
        assert (live.outcome is Outcome.STOPPED) == (training is not STRICT or demanded[0] == 1.0)


# Whoever is worse than the best particle after the first of two epochs.
HARSH = {"margin": 1.0, "quantile": 1.0, "grace": 0.0}


def records(store: Path, run: str, number: int = 1) -> list[Evaluation]:
    folder = store / f"runs/{run}/generations/{number:03d}/evaluations"
    return [Evaluation.model_validate_json(path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory, image_cache: None) -> Path:
    """A store with one finished run, ``harsh``, in which some trainings were stopped."""
    store = tmp_path_factory.mktemp("stopping")
    start(store, "harsh", screens__hopeless=HARSH)
    finish(store, "harsh")
    return store


@pytest.mark.usefixtures("image_cache")
class TestRun:
    def test_some_children_are_stopped_and_the_others_are_as_ever(
        self, stopping: Path, finished: Path
    ) -> None:
        pairs = list(zip(records(stopping, "harsh"), records(finished, "tiny"), strict=True))
        ended = [each for each, _ in pairs if each.outcome is Outcome.STOPPED]
        assert 0 < len(ended) < len(pairs)
        assert all(each.outcome.failed for each in ended)
        for each, whole in pairs:
            assert each.subject == whole.subject
            if each.outcome is not Outcome.STOPPED:
                assert each.deterministic() == whole.deterministic()

    def test_generation_0_and_the_finals_have_no_bars(self, stopping: Path) -> None:
        for stage, some in (("generations/000", 0), ("generations/001", 1), ("finals", 0)):
            text = (stopping / "runs/harsh" / stage / "candidates.json").read_bytes()
            assert len(Candidates.model_validate_json(text).bars) == some
        assert all(each.outcome is not Outcome.STOPPED for each in records(stopping, "harsh", 0))

    def test_the_bars_are_those_of_the_selected_particles(self, stopping: Path) -> None:
        folder = stopping / "runs/harsh/generations"
        before = Population.model_validate_json((folder / "000/population.json").read_bytes())
        text = (folder / "001/candidates.json").read_bytes()
        demanded = Candidates.model_validate_json(text).bars
        trained = {each.subject: each for each in records(stopping, "harsh", 0)}
        assert all(each.curve == best_so_far(trained[each.id]) for each in before.particles)
        assert demanded == (max(each.curve[0] for each in before.particles),)

    def test_a_particle_that_stays_keeps_its_curve(self, stopping: Path) -> None:
        folder = stopping / "runs/harsh/generations"
        before, after = (
            Population.model_validate_json((folder / name / "population.json").read_bytes())
            for name in ("000", "001")
        )
        trained = {each.subject: each for each in records(stopping, "harsh", 1)}
        for old, new in zip(before.particles, after.particles, strict=True):
            assert new.curve == (old.curve if new == old else best_so_far(trained[new.id]))

    @pytest.mark.parametrize("first", ["full", "harsh"])
    def test_runs_that_share_a_store_do_not_change_each_other(
        self, first: str, stopping: Path, finished: Path, tmp_path: Path
    ) -> None:
        """A run that stops trainings beside one that does not, in either order."""
        settings: dict[str, Any] = {"full": {}, "harsh": {"screens__hopeless": HARSH}}
        for run in (first, *(settings.keys() - {first})):
            start(tmp_path, run, **settings[run])
            finish(tmp_path, run)
        assert deterministic(tmp_path, "harsh") == deterministic(stopping, "harsh")
        full = deterministic(tmp_path, "full")
        for name, content in deterministic(finished, "tiny").items():
            if name.startswith("generations"):
                assert full[name] == content

    def test_what_runs_share_was_never_stopped(self, stopping: Path) -> None:
        shared = [
            Evaluation.model_validate_json(path.read_bytes())
            for path in (stopping / "evaluations").rglob("*.json")
        ]
        stopped = {
            each.subject
            for each in records(stopping, "harsh")
            if each.outcome is Outcome.STOPPED
        }  # fmt: skip
        assert all(each.outcome is not Outcome.STOPPED for each in shared)
        assert not stopped & {each.subject for each in shared}

    def test_an_interrupted_generation_ends_alike(self, stopping: Path, tmp_path: Path) -> None:
        store = Path(shutil.copytree(stopping, tmp_path / "store"))
        folder = store / "runs/harsh/generations/001"
        for path in [folder / "population.json", *sorted(folder.glob("evaluations/*"))[::2]]:
            path.unlink()
        shutil.rmtree(store / "evaluations")
        generation(store, 1, "harsh")
        assert deterministic(store, "harsh") == deterministic(stopping, "harsh")

    def test_the_analysis_counts_what_was_spared(self, stopping: Path) -> None:
        opened = open_store(str(stopping))
        config = read_config(opened, "harsh")
        found = account(config, read_stages(opened, "harsh", config))
        ended = [e for e in records(stopping, "harsh") if e.outcome is Outcome.STOPPED]
        # Two epochs of two steps, of which the first was taken.
        saved = {each.name: (each.turned_away, each.saved_steps) for each in found.screens}
        assert saved["hopeless"] == (len(ended), 2 * len(ended))
        assert "racing" not in saved


def test_a_change_of_protocol_leaves_the_next_generation_without_bars(
    tmp_path: Path, image_cache: None
) -> None:
    """The curves of generation 0 are those of the initial protocol, which another follows."""
    protocol = tiny_config().protocol.model_copy(update={"seeds": (1,)})
    start(
        tmp_path, screens__hopeless=HARSH, search__generations=2,
        initial_protocol=protocol.model_dump(mode="json"),
    )  # fmt: skip
    for number in range(3):
        generation(tmp_path, number)
    bars_of = [
        Candidates.model_validate_json(
            (tmp_path / f"runs/tiny/generations/{number:03d}/candidates.json").read_bytes()
        ).bars
        for number in range(3)
    ]
    assert [len(each) for each in bars_of] == [0, 0, 1]


def test_the_quickstart_races_and_stops_and_the_paper_does_neither() -> None:
    for task in ("digits", "cifar10", "imagefolder"):
        quick = preset("quickstart", task)
        assert quick.screens.hopeless == Hopeless()
        assert quick.protocol.sweep.racing is not None
        for name in ("paper", "paper-init", "paper-evolution"):
            paper = preset(name, task)
            assert paper.screens.hopeless is None
            for protocol in filter(None, (paper.protocol, paper.initial_protocol)):
                assert protocol.sweep.racing is None


@pytest.mark.parametrize("field", ["margin", "quantile", "grace"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5"])
def test_impossible_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Hopeless.model_validate({field: value})
