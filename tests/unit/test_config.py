"""Configurations as values: the paper's numbers, presets for every task, content ids."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from evoptim.config import (
    PRESETS,
    FinalsSpec,
    Protocol,
    RunConfig,
    SearchSpec,
    TaskSpec,
    Tuning,
    preset,
)
from evoptim.config.presets import (
    PROTOCOLS,
    paper_evolution_protocol,
    paper_init_protocol,
    quickstart,
)
from evoptim.config.protocol import TaskName
from evoptim.config.run import MAX_CANDIDATES, MAX_GENERATION
from evoptim.errors import InputError
from evoptim.store import layout

TASKS = get_args(TaskName)

# What both protocols of arXiv 2404.06679 share.
PAPER_SWEEP = {
    "rates": [[10.0, 1e-2, 1e-5], [1.0, 0.1, 1e-3, 1e-4]],
    "epochs": 4,
    "steps_per_epoch": 200,
    "give_up_epoch": 3,
    "give_up_accuracy": 0.25,
    "minimum_accuracy": 0.40,
    "racing": None,
}
PAPER_TASK = {
    "name": "cifar10",
    "data": None,
    "image_size": None,
    "train": None,
    "validation": 5_000,
    "test": None,
    "split_seed": 0,
    "fingerprint": None,
}
PAPER_INIT = {
    "task": PAPER_TASK,
    "model": {"base_width": 32, "dropout": 0.2},
    "batch_size": 128,
    "normalisation": "unit",
    "augmentation": "none",
    "precision": "float32",
    "sweep": PAPER_SWEEP
    | {"schedule": {"total_steps": 8_000, "warmup_steps": 800, "hold_steps": 0}},
    "training": {
        "epochs": 40,
        "steps_per_epoch": 200,
        "schedule": {"total_steps": 8_000, "warmup_steps": 800, "hold_steps": 0},
        "give_up_epoch": 5,
        "give_up_accuracy": 0.40,
    },
    "seeds": [0],
    "test": False,
    "timeout_seconds": None,
}
PAPER_EVOLUTION = {
    "task": PAPER_TASK,
    "model": {"base_width": 48, "dropout": 0.2},
    "batch_size": 128,
    "normalisation": "standard",
    "augmentation": "crop-flip-cutout",
    "precision": "float32",
    "sweep": PAPER_SWEEP
    | {"schedule": {"total_steps": 16_000, "warmup_steps": 800, "hold_steps": 0}},
    "training": {
        "epochs": 40,
        "steps_per_epoch": 400,
        "schedule": {"total_steps": 16_000, "warmup_steps": 800, "hold_steps": 0},
        "give_up_epoch": 5,
        "give_up_accuracy": 0.40,
    },
    "seeds": [0],
    "test": False,
    "timeout_seconds": None,
}


def test_the_initial_protocol_of_the_paper() -> None:
    assert paper_init_protocol().model_dump(mode="json") == PAPER_INIT


def test_the_evolution_protocol_of_the_paper() -> None:
    assert paper_evolution_protocol().model_dump(mode="json") == PAPER_EVOLUTION


def test_the_search_of_the_paper() -> None:
    search = preset("paper").search
    assert (search.initial, search.particles, search.generations, search.children) == (
        500,
        50,
        5,
        7,
    )
    assert search.replacement == "always"


def test_the_initial_distribution_of_the_paper() -> None:
    # A unary root carries a decay with 0.85, every other edge with 0.15.
    sampling = preset("paper").search.sampling.model_dump(mode="json")
    assert sampling == {
        "hidden_unary": 0.75,
        "root_unary": 0.25,
        "identity": 0.2,
        "operand_input": 0.8,
        "edge_decay": 0.15,
        "root_unary_edge_decay": 0.85,
        "momentum": {"none": 1.0, "heavy-ball": 1.0, "nesterov": 1.0},
        "operands": {},
        "unary": {},
        "binary": {},
        "decay": {"unary": 0.8, "hidden": 0.2, "primitives": {"a14w": 0.0}},
    }


def test_the_mutations_of_the_paper() -> None:
    assert preset("paper").search.mutation.model_dump(mode="json") == {
        "operator": 0.4,
        "connection": 0.3,
        "arity": 0.1,
        "momentum": 0.1,
        "decay": 0.1,
        "to_identity": 0.2,
        "swap": 0.2,
        "delete_decay": 0.5,
        "decay_function": {"operator": 0.60, "connection": 0.25, "arity": 0.15, "swap": 0.2},
    }


def test_the_presets_of_the_paper_say_which_protocol_scores_what() -> None:
    init, evolution = paper_init_protocol(), paper_evolution_protocol()
    protocols = {name: (c.initial_protocol, c.protocol) for name, c in _papers().items()}
    assert protocols == {
        "paper": (init, evolution),
        "paper-init": (None, init),
        "paper-evolution": (None, evolution),
    }


def _papers() -> dict[str, RunConfig]:
    return {name: preset(name) for name in PRESETS if name.startswith("paper")}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_for_every_task(name: str, task: TaskName) -> None:
    config = preset(name, task)
    # Read back, because parts that were replaced in a copy were not checked.
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    assert config.protocol.task.name == task
    assert config.initial_protocol is None or config.initial_protocol.task.name == task


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_preset_is_valid_for_every_task(name: str, task: TaskName) -> None:
    protocol = PROTOCOLS[name](task)
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol
    assert protocol.task.name == task


@pytest.mark.parametrize(
    ("name", "task"), [("quickstart", "digits"), ("paper", "cifar10"), ("paper-init", "cifar10")]
)
def test_a_preset_has_a_task_of_its_own(name: str, task: TaskName) -> None:
    assert preset(name) == preset(name, task)


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no preset 'papr'; choose among quickstart, paper, "):
        preset("papr")


def test_the_finals_measure_as_the_search_does_under_other_seeds_and_on_test_images() -> None:
    for name in PRESETS:
        config = preset(name)
        finals, search = config.finals_protocol(), config.protocol
        assert finals.seeds == config.finals.seeds
        assert not {*finals.seeds} & {*search.seeds}
        assert (finals.test, search.test) == (True, False)
        back = finals.model_copy(update={"seeds": search.seeds, "test": False, "tuning": None})
        assert back == search


def test_the_finals_choose_rates_under_seeds_that_serve_nothing_else() -> None:
    for name in PRESETS:
        config = preset(name)
        tuning = config.finals_protocol().tuning
        assert tuning is not None
        assert tuning == config.finals.tuning
        assert not {*tuning.seeds} & {*config.finals.seeds, *config.protocol.seeds}


def test_the_finals_can_be_left_at_the_sweeps_rate() -> None:
    config = quickstart().model_copy(update={"finals": FinalsSpec(tuning=None)})
    assert config.finals_protocol().tuning is None


def test_the_finals_of_the_paper_are_between_ten() -> None:
    finals = {name: preset(name).finals.candidates for name in PRESETS}
    assert finals == {"quickstart": 3, "paper": 10, "paper-init": 10, "paper-evolution": 10}


def test_what_measures_test_images_is_another_protocol_even_under_the_same_seeds() -> None:
    protocol = paper_init_protocol()
    assert protocol.model_copy(update={"test": True}).content_id() != protocol.content_id()


def test_baselines_of_every_preset_are_all_that_there_are() -> None:
    names = {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"}
    assert all(set(preset(name).baselines) == names for name in PRESETS)


def reordered(value: Any) -> Any:
    """The same JSON values with every mapping in the opposite order."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(each) for each in value] if isinstance(value, list) else value


def test_the_order_of_fields_does_not_change_a_content_id() -> None:
    protocol = paper_init_protocol()
    other = reordered(protocol.model_dump(mode="json"))
    assert list(other) != list(Protocol.model_fields)
    read = Protocol.model_validate_json(json.dumps(other))
    assert read.content_id() == protocol.content_id()


def test_a_content_id_is_sixteen_hexadecimal_digits() -> None:
    assert set(paper_init_protocol().content_id()) <= set("0123456789abcdef")
    assert len(paper_init_protocol().content_id()) == 16


def test_a_whole_number_and_the_same_fraction_are_one_content() -> None:
    whole, fraction = (
        RunConfig.model_validate_json(
            preset("quickstart")
            .model_copy(update={"max_missing_fraction": share})
            .model_dump_json()
        )
        for share in (1, 1.0)
    )
    assert whole.content_id() == fraction.content_id()


def protocol_of(**task: Any) -> Protocol:
    protocol = paper_init_protocol()
    return protocol.model_copy(update={"task": protocol.task.model_copy(update=task)})


def test_images_known_by_their_fingerprint_may_lie_anywhere() -> None:
    here = protocol_of(data="/here/images.zip", fingerprint="f" * 64)
    there = protocol_of(data="/there/images.zip", fingerprint="f" * 64)
    nowhere = protocol_of(fingerprint="f" * 64)
    assert here.content_id() == there.content_id() == nowhere.content_id()
    assert here != there


def test_other_images_are_another_protocol() -> None:
    ids = {
        protocol_of(data="/images", fingerprint="e" * 64).content_id(),
        protocol_of(data="/images", fingerprint="f" * 64).content_id(),
        protocol_of(data="/images").content_id(),
        protocol_of(data="/others").content_id(),
        protocol_of().content_id(),
    }
    assert len(ids) == 5


@pytest.mark.parametrize("path", [*Protocol.model_fields])
def test_every_part_of_a_protocol_takes_part_in_its_content_id(path: str) -> None:
    changes: dict[str, Any] = {
        "task": TaskSpec(name="cifar10", validation=4_999),
        "model": paper_evolution_protocol().model,
        "batch_size": 127,
        "normalisation": "standard",
        "augmentation": "crop-flip-cutout",
        "sweep": paper_evolution_protocol().sweep,
        "training": paper_evolution_protocol().training,
        "seeds": (1,),
        "test": True,
        "precision": "tf32",
        "timeout_seconds": 60.0,
        "tuning": Tuning(),
    }
    protocol = paper_init_protocol()
    changed = protocol.model_copy(update={path: changes[path]})
    assert changed.content_id() != protocol.content_id()


def test_a_configuration_cannot_be_changed() -> None:
    config = preset("quickstart")
    for value, field in ((config, "seed"), (config.search, "children"), (config.protocol, "task")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, field, 3)


def test_a_preset_cannot_be_changed_by_accident() -> None:
    preset("quickstart").search.sampling.unary["neg"] = 0.0
    assert preset("quickstart").search.sampling.unary == {}
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["paper"]  # type: ignore[index]


def test_the_bounds_on_a_search_are_those_of_the_store() -> None:
    # Each is written down where it is needed, since neither side may import the other.
    assert MAX_GENERATION + 1 == layout.GENERATIONS
    assert MAX_CANDIDATES == layout.EVALUATIONS


def test_a_generation_may_not_hold_more_than_a_store_can_number() -> None:
    SearchSpec(initial=100_000, particles=50_000, children=1, generations=999)
    for change in ({"initial": 100_001}, {"particles": 50_001}, {"children": 2}):
        fields = {"initial": 100_000, "particles": 50_000, "children": 1, "generations": 1} | change
        with pytest.raises(ValidationError, match=r"100000|less than or equal"):
            SearchSpec.model_validate(fields)


def test_strings_are_not_taken_for_numbers() -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        SearchSpec.model_validate({"initial": "3", "particles": 1, "children": 1, "generations": 1})


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValidationError, match="float32"):
        Protocol.model_validate({**paper_init_protocol().model_dump(), "precision": "float16"})
