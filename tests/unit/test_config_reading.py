"""From YAML, presets and settings to a configuration; what is wrong is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from evoptim.config import preset
from evoptim.config.presets import (
    paper_evolution_protocol,
    paper_init_protocol,
    quickstart_protocol,
)
from evoptim.config.reading import parse_setting, read_config
from evoptim.config.yaml_text import MAX_CHARACTERS
from evoptim.errors import InputError
from evoptim.store import to_json


def refusal(text: str | None = None, **settings: Any) -> str:
    with pytest.raises(InputError) as told:
        read_config(text, settings={name.replace("__", "."): v for name, v in settings.items()})
    message = str(told.value)
    assert "\n" not in message
    return message


def test_nothing_given_is_the_quickstart() -> None:
    assert read_config() == read_config("") == read_config("# nothing\n") == preset("quickstart")


@pytest.mark.parametrize("name", ["quickstart", "paper", "paper-init", "paper-evolution"])
def test_a_preset_is_named_by_an_option_or_in_the_file(name: str) -> None:
    assert read_config(preset_name=name) == read_config(f"preset: {name}") == preset(name)


def test_the_option_counts_more_than_the_file() -> None:
    assert read_config("preset: paper", preset_name="quickstart") == preset("quickstart")


def test_a_file_changes_what_it_names_and_nothing_else() -> None:
    config = read_config("search: {children: 9}\nprotocol:\n  model:\n    dropout: 0.5\n")
    expected = preset("quickstart").model_dump()
    expected["search"]["children"] = 9
    expected["protocol"]["model"]["dropout"] = 0.5
    assert config.model_dump() == expected


def test_settings_count_more_than_the_file() -> None:
    config = read_config("seed: 1\nsearch: {children: 2}", settings={"search.children": 5})
    assert (config.seed, config.search.children) == (1, 5)


def test_weights_are_merged_too() -> None:
    # The wide a14 stays out unless it is asked for.
    config = read_config("search: {sampling: {decay: {primitives: {a3: 0}}}}")
    assert config.search.sampling.decay.primitives == {"a14w": 0.0, "a3": 0.0}


def test_lists_are_replaced() -> None:
    config = read_config("protocol: {seeds: [3, 4, 5]}\nbaselines: [adam]")
    assert (config.protocol.seeds, config.baselines) == ((3, 4, 5), ("adam",))


@pytest.mark.parametrize("text", ["protocol: paper-init", "protocol: 'paper-init'"])
def test_a_protocol_can_be_named(text: str) -> None:
    assert read_config(text).protocol == paper_init_protocol()
    assert read_config(settings=dict([parse_setting("protocol=paper-init")])) == read_config(text)


def test_a_named_protocol_can_be_changed_by_settings() -> None:
    config = read_config("protocol: paper-init", settings={"protocol.batch_size": 64})
    assert config.protocol == paper_init_protocol().model_copy(update={"batch_size": 64})


def test_a_value_that_another_setting_changes_is_the_callers_own() -> None:
    task = {"name": "digits", "train": 100}
    config = read_config(settings={"protocol.task": task, "protocol.task.train": 50})
    assert (config.protocol.task.train, task["train"]) == (50, 100)


def test_an_initial_protocol_can_be_added_and_left_out() -> None:
    assert read_config("initial_protocol: quickstart").initial_protocol == quickstart_protocol()
    assert read_config("preset: paper\ninitial_protocol: null").initial_protocol is None


def test_presets_fit_themselves_to_the_task() -> None:
    by_file = read_config("protocol: {task: {name: cifar10}}")
    by_option = read_config(settings={"protocol.task.name": "cifar10"})
    assert by_file == by_option == preset("quickstart", "cifar10")
    assert by_file.protocol.task.image_size == 16


def test_named_protocols_fit_themselves_to_the_task() -> None:
    text = "protocol: paper-evolution\ninitial_protocol: paper-init"
    config = read_config(text, settings={"protocol.task.name": "digits"})
    assert config.protocol == paper_evolution_protocol("digits")
    assert config.initial_protocol == paper_init_protocol("digits")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("preset: paper", {"protocol.task.data": "images.zip"}),
        ("preset: paper\nprotocol: {task: {data: images.zip}}", {}),
        (
            "protocol: {task: {name: imagefolder, data: images.zip}}\ninitial_protocol: paper-init",
            {},
        ),
        ("preset: paper", {"protocol.task.data": "images.zip", "protocol": "paper-init"}),
    ],
)
def test_images_are_named_once_for_both_protocols(text: str, settings: dict[str, Any]) -> None:
    config = read_config(text, settings=settings)
    assert config.initial_protocol is not None
    assert config.initial_protocol.task.data == config.protocol.task.data == "images.zip"


def test_an_initial_protocol_may_name_images_of_its_own() -> None:
    text = "preset: paper\ninitial_protocol: {task: {data: few.zip}}"
    config = read_config(text, settings={"protocol.task.data": "all.zip"})
    assert config.initial_protocol is not None
    assert (config.initial_protocol.task.data, config.protocol.task.data) == ("few.zip", "all.zip")


def test_an_initial_protocol_of_another_task_keeps_its_own_images() -> None:
    text = "preset: paper\ninitial_protocol: {task: {name: digits, validation: null}}"
    config = read_config(text, settings={"protocol.task.data": "all.zip"})
    assert config.initial_protocol is not None
    assert config.initial_protocol.task.data is None


@pytest.mark.parametrize("name", ["quickstart", "paper", "paper-init", "paper-evolution"])
def test_a_stored_configuration_is_a_configuration_file(name: str) -> None:
    config = preset(name)
    assert read_config(to_json(config).decode()) == config
    assert read_config(config.model_dump_json()) == config


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "1E-3", ".001", "0.001", "1e-03", "10e-4"])
def test_rates_are_read_as_people_write_them(text: str) -> None:
    config = read_config(f"protocol: {{sweep: {{rates: [[{text}]]}}}}")
    assert config.protocol.sweep.rates == ((0.001,),)


REFUSED = {
    # Typos.
    "sed: 1": "sed: there is no such setting; choose among seed, search, initial_protocol",
    "search: {childs: 3}": "search.childs: there is no such setting; choose among initial, part",
    "protocol: {sweep: {schedule: {warmup: 3}}}": "protocol.sweep.schedule.warmup: there is no "
    "such setting; choose among total_steps, warmup_steps, hold_steps",
    "preset: quick": "there is no preset 'quick'; choose among quickstart, paper",
    "protocol: papr": "there is no protocol 'papr'; choose among quickstart, paper-init, paper-ev",
    "initial_protocol: papr": "there is no protocol 'papr'; choose among quickstart",
    "search: {replacement: best}": "search.replacement: Input should be 'always' or 'elitist', got "
    "'best'",
    "protocol: {task: {name: cifar}}": "protocol.task.name: Input should be 'digits', 'cifar10' or "
    "'imagefolder', got 'cifar'",
    "baselines: [adamm]": "baselines.0: Input should be 'sgd', 'momentum', 'nesterov', 'rmsprop', ",
    "search: {sampling: {unary: {sine: 1}}}": "search.sampling: there is no unary operator 'sine'; "
    "choose among neg, ",
    "search: {sampling: {unary: {identity: 1}}}": "there is no unary operator 'identity'",
    "search: {sampling: {binary: {plus: 1}}}": "there is no binary operator 'plus'; choose among",
    "search: {sampling: {operands: {gg: 1}}}": "there is no operand 'gg'; choose among",
    "search: {sampling: {decay: {primitives: {a99: 1}}}}": "there is no decay primitive 'a99'; ",
    "search: {sampling: {momentum: {nest: 1}}}": "search.sampling.momentum.nest: Input should be "
    "'none', 'heavy-ball' or 'nesterov', got 'nest'",
    # Impossible values.
    "seed: -1": "seed: Input should be greater than or equal to 0, got -1",
    "seed: 2147483648": "seed: Input should be less than 2147483648, got 2147483648",
    "seed: 1.5": "seed: Input should be a valid integer, got 1.5",
    "seed: '7'": "seed: Input should be a valid integer, got '7'",
    "seed: true": "seed: Input should be a valid integer, got True",
    "seed: 2024-10-05": "seed: Input should be a valid integer, got '2024-10-05'",
    "search: {particles: 0}": "search.particles: Input should be greater than or equal to 1, got 0",
    "search: {children: -3}": "search.children: Input should be greater than or equal to 1, got -3",
    "search: {generations: -1}": "search.generations: Input should be greater than or equal to 0",
    "search: {generations: 1000}": "search.generations: Input should be less than or equal to 999",
    "search: {initial: 3}": "search: particles are chosen among the initial genomes: 4 particles "
    "need at least as many, got initial = 3",
    "search: {children: 50000}": "search: a generation evaluates at most 100000, got 4 particles "
    "and 50000 children of each: lower one of them",
    "protocol: {task: {image_size: 4}}": "protocol.task.image_size: Input should be greater than",
    "protocol: {seeds: []}": "protocol.seeds: Tuple should have at least 1 item",
    "protocol: {seeds: [3, 3]}": "protocol.seeds: 3 is there twice: leave one, got [3, 3]",
    "finals: {candidates: 0}": "finals.candidates: Input should be greater than or equal to 1",
    "finals: {candidates: 51}": "finals.candidates: Input should be less than or equal to 50",
    "finals: {seeds: []}": "finals.seeds: Tuple should have at least 1 item",
    "finals: {seeds: [7, 7]}": "finals.seeds: 7 is there twice: leave one, got [7, 7]",
    "finals: {seeds: [9, 1]}": "the finals need seeds that chose nothing, but 1 is also in "
    "protocol.seeds: give finals.seeds others",
    "finals: {tuning: {rates: 0}}": "finals.tuning.rates: Input should be greater than or equal",
    "finals: {tuning: {per_decade: 21}}": "finals.tuning.per_decade: Input should be less than or",
    "finals: {tuning: {seeds: []}}": "finals.tuning.seeds: Tuple should have at least 1 item",
    "finals: {tuning: {seeds: [5, 101]}}": "the finals need seeds that chose nothing, but 101 is "
    "also in finals.tuning.seeds: give one of them others",
    "preset: paper\nfinals: {seeds: [0]}\nprotocol: {seeds: [1]}": "the finals need seeds that "
    "chose nothing, but 0 is also in initial_protocol.seeds",
    "protocol: {test: true}": "only the finals measure test images: leave protocol.test false",
    "preset: paper\ninitial_protocol: {test: true}": "only the finals measure test images: leave "
    "initial_protocol.test false",
    "baselines: [sgd, sgd]": "baselines: 'sgd' is there twice: leave one",
    "protocol: {batch_size: 0}": "protocol.batch_size: Input should be greater than or equal to 1",
    "protocol: {sweep: {rates: [[0.1, 0]]}}": "protocol.sweep.rates.0.1: Input should be greater "
    "than 0, got 0",
    "protocol: {sweep: {rates: [[.nan]]}}": "protocol.sweep.rates.0.0: Input should be a finite "
    "number, got nan",
    "protocol: {sweep: {rates: []}}": "protocol.sweep.rates: Tuple should have at least 1 item",
    "protocol: {sweep: {minimum_accuracy: 40}}": "protocol.sweep.minimum_accuracy: Input should be "
    "less than or equal to 1, got 40",
    "protocol: {training: {epochs: 900}}": "does not fit into its schedule of 400: raise "
    "schedule.total_steps",
    "protocol: {sweep: {epochs: 50}}": "does not fit into its schedule of 60: raise",
    "protocol: {training: {schedule: {warmup_steps: 400}}}": "protocol.training.schedule: "
    "warmup_steps + hold_steps must stay below total_steps, got 400 + 0 >= 400",
    "protocol: {timeout_seconds: 0}": "protocol.timeout_seconds: Input should be greater than 0",
    "protocol: {model: {dropout: 1}}": "protocol.model.dropout: Input should be less than 1, got 1",
    "max_missing_fraction: 1.1": "max_missing_fraction: Input should be less than or equal to 1",
    "search: {sampling: {identity: 1.5}}": "search.sampling.identity: Input should be less than or",
    "search: {sampling: {operand_input: 0}}": "search.sampling.operand_input: Input should be "
    "greater than or equal to 0.01, got 0",
    "search: {sampling: {operands: {g: -1}}}": "search.sampling.operands.g: Input should be "
    "greater than or equal to 0, got -1",
    "search: {sampling: {operands: {g: .inf}}}": "search.sampling.operands.g: Input should be a "
    "finite number, got inf",
    "search: {sampling: {momentum: {none: 0, heavy-ball: 0, nesterov: 0}}}": "search.sampling: "
    "every momentum type has weight 0; leave at least one",
    "search: {mutation: {operator: 0, connection: 0, arity: 0, momentum: 0, decay: 0}}": "search."
    "mutation: every kind of mutation has weight 0; leave at least one",
    # Values of another kind.
    "search: 3": "search: Input should be an object, got 3",
    "search: null": "search: Input should be an object, got None",
    "protocol: [1]": "protocol: Input should be an object, got [1]",
    "initial_protocol: {batch_size: 3}": "initial_protocol.sweep: this setting is required (and 1 "
    "more)",
    "preset: 3": "preset: give a preset's name, got 3",
    "- seed": "give settings as 'name: value' lines, got \"['seed']\"",
    "seed": "give settings as 'name: value' lines, got 'seed'",
    "1: 2": "give settings as 'name: value' lines, got '{1: 2}'",
    # YAML that cannot be used.
    "seed: [": "line 1, column 8: expected the node content",
    "seed: 1\nseed: 2": "line 2, column 1: 'seed' is given twice: leave one",
    "search: {children: 2, children: 3}": "line 1, column 23: 'children' is given twice",
    "seed: &s 1\nsearch: {children: *s}": "line 2, column 20: write the value out in place of *s",
    "seed: !!int 1": "line 1, column 7: leave out the tag",
    "seed: !!python/object:os.system {}": "line 1, column 7: leave out the tag",
    "seed: 1\n---\nseed: 2": "line 2, column 1: but found another document",
    "seed: \0": "special characters are not allowed",
    "? [a]\n: 1": "line 1, column 3: found unhashable key",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_in_a_file_is_refused_with_path_value_and_rule(text: str) -> None:
    assert REFUSED[text] in refusal(text)


def test_the_first_of_several_mistakes_is_named_and_the_others_are_counted() -> None:
    assert refusal("seed: -1\nsearch: {children: 0}\nbaselines: [a]").endswith("(and 2 more)")


def test_a_long_value_is_not_printed_in_full() -> None:
    assert len(refusal(f"seed: '{'x' * 10_000}'")) < 200


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("sed", 1, "sed: there is no such setting; choose among seed, search"),
        ("search.childs", 1, "search.childs: there is no such setting; choose among initial"),
        (
            "serch.children",
            1,
            "serch.children: 'serch' holds no settings; beside it are seed, sear",
        ),
        ("protocol.seeds.0", 1, "protocol.seeds.0: 'seeds' holds no settings; beside it are task"),
        ("protocol.sweep..epochs", 1, "'' holds no settings; beside it are rates"),
        ("initial_protocol.batch_size", 1, "initial_protocol.sweep: this setting is required"),
        ("protocol", 3, "protocol: Input should be an object, got 3"),
        ("protocol", "papr", "there is no protocol 'papr'; choose among"),
        ("preset", "paper", "preset: there is no such setting"),
        ("seed", {1, 2}, "it holds a value that JSON does not know"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(path: str, value: Any, says: str) -> None:
    with pytest.raises(InputError) as told:
        read_config(settings={path: value})
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("seed=1", ("seed", 1)),
        (" search.children = 3", ("search.children", 3)),
        ("protocol.seeds=[1, 2]", ("protocol.seeds", [1, 2])),
        ("protocol.sweep.minimum_accuracy=1e-1", ("protocol.sweep.minimum_accuracy", 0.1)),
        ("protocol.task.data=a=b.zip", ("protocol.task.data", "a=b.zip")),
        ("initial_protocol=null", ("initial_protocol", None)),
        ("search.sampling.unary={drop50: 0}", ("search.sampling.unary", {"drop50": 0})),
        ("protocol.task.data=", ("protocol.task.data", None)),
    ],
)
def test_a_setting_is_a_path_and_a_value(text: str, setting: tuple[str, Any]) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed", "a setting is written path=value, such as seed=1, got 'seed'"),
        ("=1", "a setting is written path=value"),
        ("", "a setting is written path=value, such as seed=1, got ''"),
        ("seed=[", "the value of the setting 'seed' is no YAML that can be used: line 1"),
        ("seed=" + "9" * 5_000, "the value of the setting 'seed' is no YAML that can be used"),
    ],
)
def test_what_is_no_setting_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError) as told:
        parse_setting(text)
    assert says in str(told.value)


def laughs(levels: int) -> str:
    """Nine to the power of ``levels`` values, written in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        copies = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{copies}]")
    return "\n".join(lines)


def merged_laughs(levels: int) -> str:
    """The same by merge keys, which a reader expands before anyone can look."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        copies = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{copies}]}}")
    return "\n".join(lines)


# Each of these takes minutes, memory without bound, or a traceback in a reader that is not bounded.
BOMBS = {
    "aliases": laughs(30),
    "merge keys": merged_laughs(30),
    "aliases of a list at the top": "&a [*a, *a]",
    "a mapping within itself": "search: &a {sampling: *a}",
    "deep lists": "a: " + "[" * 60_000,
    "deep mappings": "{" * 60_000,
    "deep keys": "? " * 30_000,
    "deep blocks": "- " * 30_000,
    "a long text": "a" * (MAX_CHARACTERS + 1),
    "a long whole number": "seed: " + "9" * 60_000,
    "a whole number with a letter": "seed: " + "1" * 60_000 + "x",
    "a whole number to the base 60": "seed: 1" + ":1" * 30_000,
    "a fraction to the base 60": "seed: 1" + ":1" * 30_000 + ".5",
    "an open text": '"' + "\\n" * 30_000,
    "a lone surrogate": 'protocol: {task: {data: "\\ud800"}}',
    "an impossible date": "seed: 2024-13-45",
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_yaml_is_refused_before_it_can_do_harm(name: str) -> None:
    # No clock here: unbounded, these would not end within the patience of any test runner.
    assert len(refusal(BOMBS[name])) < 400
