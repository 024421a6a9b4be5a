"""Unary, binary and decay operators: code -> (name, function), and the operators that remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfc, i1e

Array = NDArray[np.floating[Any]]
Unary = Callable[[Array], Array]
Binary = Callable[[Array, Array], Array]
Mask = Callable[[float, tuple[int, ...]], NDArray[np.bool_]]

EPS = 1e-7
EMA_DECAY = 0.95


class StochasticOperatorError(ValueError):
    """A dropout operator was met and no mask function was given to make it reproducible."""


def _sigmoid(x: Array) -> Array:
    value: Array = 1 / (1 + np.exp(-x))
    return value


def _softsign(x: Array) -> Array:
    value: Array = x / (1 + np.abs(x))
    return value


def _norm_clip(x: Array) -> Array:
    norm = np.sqrt(np.sum(x * x))
    clipped: Array = x if norm <= 1 else x / norm
    return clipped


def _clip(x: Array, y: Array) -> Array:
    bound = np.abs(y)
    return np.maximum(np.minimum(x, bound), -bound)


UNARY: Mapping[int, tuple[str, Unary]] = {
    -1: ("identity", lambda x: x),
    0: ("neg", lambda x: -x),
    1: ("ln_abs", lambda x: np.log(np.abs(x) + EPS)),
    2: ("sqrt_abs", lambda x: np.sqrt(np.abs(x))),
    3: ("exp", np.exp),
    4: ("abs", np.abs),
    5: ("sigmoid", _sigmoid),
    6: ("inv_one_plus_abs", lambda x: 1 / (1 + np.abs(x))),
    7: ("ln_abs_one_plus_exp", lambda x: np.log(np.abs(1 + np.exp(x)) + EPS)),
    8: ("erf", erf),
    9: ("erfc", erfc),
    10: ("arcsinh", np.arcsinh),
    11: ("tanh", np.tanh),
    12: ("arctan", np.arctan),
    13: ("reciprocal", lambda x: 1 / (x + EPS)),
    14: ("bessel_i1e", i1e),
    15: ("max0", lambda x: np.maximum(x, 0)),
    16: ("min0", lambda x: np.minimum(x, 0)),
    20: ("norm_clip", _norm_clip),
    21: ("softsign", _softsign),
}

BINARY: Mapping[int, tuple[str, Binary]] = {
    0: ("add", lambda x, y: x + y),
    1: ("sub", lambda x, y: x - y),
    2: ("mul", lambda x, y: x * y),
    3: ("max", np.maximum),
    4: ("min", np.minimum),
    5: ("div", lambda x, y: x / (y + EPS)),
    6: ("div_sqrt_one_plus_sq", lambda x, y: x / np.sqrt(1 + y * y)),
    7: ("clip", _clip),
    8: ("ema_mix", lambda x, y: 0.95 * x + 0.05 * y),
    9: ("pow_abs", lambda x, y: np.abs(x) ** y),
}

DECAY_UNARY: Mapping[int, tuple[str, Unary]] = {
    0: ("sigmoid", _sigmoid),
    1: ("deriv_soft", lambda x: 1 / (1 + np.abs(x))),
    2: ("erf", erf),
    3: ("erfc", erfc),
    4: ("tanh", np.tanh),
    5: ("arctan", np.arctan),
    6: ("bessel_i1e", i1e),
    7: ("square", lambda x: x * x),
    8: ("sqrt_abs", lambda x: np.sqrt(np.abs(x))),
    9: ("softsign", _softsign),
    10: ("deriv_tanh", lambda x: 1 - np.tanh(x) ** 2),
    11: ("deriv_sig", lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    12: ("identity", lambda x: x),
}

DECAY_BINARY: Mapping[int, tuple[str, Binary]] = {code: BINARY[code] for code in range(7)}

DROP_PROBABILITY: Mapping[int, float] = {17: 0.5, 18: 0.3, 19: 0.1}
EXP_MOV_AVG, DELTA_CHANGE, MAX_VALUE = 22, 23, 24

_NAMES_OUTSIDE_UNARY = {
    17: "drop50",
    18: "drop30",
    19: "drop10",
    EXP_MOV_AVG: "exp_mov_avg",
    DELTA_CHANGE: "delta_change",
    MAX_VALUE: "max_value",
}


def _by_name(names: Mapping[int, str]) -> dict[str, int]:
    return {name: code for code, name in names.items()}


_CODES = {
    "unary": _by_name({c: n for c, (n, _) in UNARY.items()} | _NAMES_OUTSIDE_UNARY),
    "binary": _by_name({c: n for c, (n, _) in BINARY.items()}),
    "decay_unary": _by_name({c: n for c, (n, _) in DECAY_UNARY.items()}),
    "decay_binary": _by_name({c: n for c, (n, _) in DECAY_BINARY.items()}),
}


def code_of(node: Mapping[str, Any], prefix: str = "") -> int:
    """Operator code of a node given by `op_index` or, without one, by its `op` name."""
    if node.get("op_index") is not None:
        return int(node["op_index"])
    return _CODES[prefix + node["kind"]][node["op"]]


@dataclass
class NodeState:
    """What one node remembers for one weight tensor: previous output, or average and count."""

    memory: Array | float = 0.0
    count: int = 0

    def apply(self, code: int, x: Array, *, published: bool, mask: Mask | None) -> Array:
        """Any unary operator, advancing this node's memory where the operator has one."""
        if code in UNARY:
            return UNARY[code][1](x)
        if code in DROP_PROBABILITY:
            return _drop(DROP_PROBABILITY[code], x, mask)
        if code == EXP_MOV_AVG:
            # The authors' counter is never advanced, so they divide by 1 - 0.95^0 = 0.
            self.count += 0 if published else 1
            self.memory = EMA_DECAY * self.memory + (1 - EMA_DECAY) * x
            return self.memory / x.dtype.type(1 - EMA_DECAY**self.count)
        if code == DELTA_CHANGE:
            self.memory = x - self.memory
            return self.memory
        if code == MAX_VALUE:
            self.memory = np.maximum(x, self.memory)
            return self.memory
        raise KeyError(f"unary operator codes run from -1 to 24, got {code}")


def _drop(probability: float, x: Array, mask: Mask | None) -> Array:
    if mask is None:
        raise StochasticOperatorError(
            f"drop(X, {probability}) is random: give mask(probability, shape) -> kept elements"
        )
    return np.where(mask(probability, x.shape), x / (1 - probability), x.dtype.type(0))
