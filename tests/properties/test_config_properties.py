"""What holds of every configuration, and of every text that is given as one."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evoptim.config import RunConfig
from evoptim.config.reading import parse_setting, read_config
from evoptim.decay import PRIMITIVES
from evoptim.errors import InputError
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY
from evoptim.store import to_json

probability = st.floats(0.0, 1.0)
weight = st.floats(0.0, 1e6)
# Those that the finals have where nobody says otherwise are no seeds of a search.
seed = st.integers(0, 2**30).filter(lambda each: each not in range(101, 106))
later = st.integers(2**30 + 1, 2**31 - 1)
path = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30)

settings = st.fixed_dictionaries(
    {},
    optional={
        "seed": seed,
        "search.initial": st.integers(10, 1_000),
        "search.particles": st.integers(1, 10),
        "search.children": st.integers(1, 100),
        "search.generations": st.integers(0, 999),
        "search.replacement": st.sampled_from(("always", "elitist")),
        "search.sampling.identity": probability,
        "search.sampling.operand_input": st.floats(0.01, 1.0),
        "search.sampling.operands": st.dictionaries(
            st.sampled_from(sorted(OPERANDS)), weight, max_size=5
        ),
        "search.sampling.binary": st.dictionaries(
            st.sampled_from(sorted(BINARY)), weight, max_size=5
        ),
        "search.sampling.decay.primitives": st.dictionaries(
            st.sampled_from(sorted(PRIMITIVES)), weight, max_size=5
        ).map(lambda weights: {"a14w": 0.0} | weights),
        "search.mutation.decay": st.floats(0.1, 1e6),
        "protocol.batch_size": st.integers(1, 10**6),
        "protocol.seeds": st.lists(seed, min_size=1, max_size=4, unique=True),
        "finals.candidates": st.integers(1, 50),
        # None of the search's.
        "finals.seeds": st.lists(later, min_size=1, max_size=4, unique=True),
        "protocol.timeout_seconds": st.none() | st.floats(1e-9, 1e9),
        "protocol.model.dropout": st.floats(0.0, 1.0, exclude_max=True),
        "protocol.sweep.rates": st.lists(
            st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=3), min_size=1, max_size=3
        ),
        "protocol.task.name": st.sampled_from(("digits", "cifar10", "imagefolder")),
        "protocol.task.data": st.none() | path,
        "initial_protocol": st.sampled_from((None, "quickstart", "paper-init", "paper-evolution")),
        "max_missing_fraction": probability,
        "baselines": st.lists(st.sampled_from(("sgd", "adam", "adamw")), unique=True),
    },
)


@given(settings)
def test_a_configuration_survives_json_and_yaml(chosen: dict[str, Any]) -> None:
    config = read_config(settings=chosen)
    stored = to_json(config).decode()
    assert RunConfig.model_validate_json(stored) == config
    assert read_config(stored) == config
    assert read_config(config.canonical_json()).content_id() == config.content_id()


@given(settings, settings)
def test_configurations_are_equal_where_their_content_ids_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = read_config(settings=one), read_config(settings=other)
    assert (first.content_id() == second.content_id()) is (first == second)


# Text of which many draws are almost YAML.
_PIECES = """seed search protocol : [ ] { } , - ? 1 0.5 1e-3 null ' " &a *a !!int | > % # << ~"""
yamlish = st.lists(
    st.sampled_from((*_PIECES.split(), "\n", "  ", ": ", ", ", "- ")), max_size=30
).map("".join)


@given(yamlish | st.text(max_size=60))
def test_any_text_is_a_configuration_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(read_config(text), RunConfig)


@given(yamlish | st.text(max_size=60))
def test_any_text_is_a_setting_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        name, value = parse_setting(text)
        with contextlib.suppress(InputError):
            assert isinstance(read_config(settings={name: value}), RunConfig)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=5) | st.sampled_from(("task", "name", "data")), inner
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from(("seed", "search", "protocol", "initial_protocol", "protocol.task", "x.y")),
)
def test_any_value_of_a_setting_gives_a_configuration_or_an_input_error(
    value: Any, name: str
) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(read_config(settings={name: value}), RunConfig)


@given(settings, st.sampled_from(("seed", "search", "protocol", "baselines")))
def test_no_field_of_a_configuration_can_be_set(chosen: dict[str, Any], field: str) -> None:
    config = read_config(settings=chosen)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, field, getattr(config, field))
