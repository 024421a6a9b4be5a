"""The final optimizers, AdamClip and their relatives, formula by formula, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, expit, i1e

from .decays import decay_primitives
from .schedules import learning_rates, momenta

Float64 = NDArray[np.float64]


def _softsign(x: Float64) -> Float64:
    return x / (1 + np.abs(x))


def _clip(x: Any, c: Float64) -> Float64:
    return np.clip(x, -np.abs(c), np.abs(c))


def _d(x: Float64) -> Float64:
    return 1 - np.tanh(x) ** 2


def _updates(
    name: str, decay: bool, intended: bool, gradients: Float64, weight: list[Float64]
) -> Iterator[Float64]:
    """u of every step; ``weight[0]`` is what the weights are at that step."""
    total = len(gradients)
    a = decay_primitives(total)
    v, s, cubes, squares, m = (np.zeros_like(gradients[0]) for _ in range(5))
    for t, g in enumerate(gradients):
        v = 0.9 * v + 0.1 * g
        s = 0.99 * s + 0.01 * g**2
        cubes = 0.999 * cubes + 0.001 * g**3
        squares = 0.999 * squares + 0.001 * g**2
        vh, sh = v / (1 - 0.9 ** (t + 1)), s / (1 - 0.99 ** (t + 1))
        large = (cubes if intended else squares) / (1 - 0.999 ** (t + 1))
        q = 0.3 * g + 0.7 * vh
        w = 1e-5 * weight[0]
        inner = 0.05 * g**2 + 0.95 * sh
        a13 = a["a13"][t if t < total - 1 else t - 1]
        wave = np.maximum(a["a6"], a["a10"])[t] if decay else 1.0
        scaled_opt4 = np.arctan(a13) if decay or not intended else 1.0
        linear = a["a1"][t] if decay else 1.0
        if name == "opt1":
            yield q + _softsign(_clip(w, w - inner if intended else w - 0.05 * g**2 + 0.95 * sh))
        elif name == "opt2":
            yield q + _softsign(w / np.sqrt(1 + (w - inner) ** 2))
        elif name == "opt3":
            z = w - (0.01 * g**3 + 0.99 * large)
            yield q + _softsign(w / np.sqrt(1 + z**2))
        elif name == "opt4":
            yield q / _clip(2, scaled_opt4 * np.exp(vh))
        elif name == "opt5":
            yield q / _clip(2, np.exp(vh))
        elif name == "opt6":
            scale = _d(a["a4"])[t] if decay else 1.0
            yield q / np.abs(scale * np.exp(1e-4 * weight[0]))
        elif name == "opt7":
            yield np.tanh(wave * np.arcsinh(q))
        elif name == "opt8":
            yield np.arcsinh(wave * np.arcsinh(q))
        elif name == "opt9":
            yield (erfc(a["a11"])[t] if decay else 1.0) * g * np.exp(np.arctan(inner))
        elif name == "opt10":
            yield i1e(i1e(((a["a13"] * a["a2"])[t] if decay else 1.0) * g))
        elif name.startswith("adamclip"):
            log = np.abs(np.log(sh + 1e-7))
            bound = {"1": log, "2": np.sqrt(log), "3": expit(sh + 1e-7)}.get(
                name[-1], np.sqrt(sh) + 1e-7
            )
            u = _clip(vh, bound)
            yield u / max(1.0, float(np.sqrt((u**2).sum()))) if name[-1] == "4" else u
        elif name == "powersign":
            yield g * np.exp(linear * np.sign(g) * np.sign(v))
        elif name == "addsign":
            yield g * (1 + linear * np.sign(g) * np.sign(v))
        elif name == "evo1":
            late = np.minimum(a["a1"], a["a14"])[t] if decay else 1.0
            yield late * g / np.sqrt(1 + (1e-3 * weight[0]) ** 2)
        elif name == "evo2":
            f, h = (expit(a["a8"])[t], a["a14"][t]) if decay else (1.0, 1.0)
            yield _clip(np.sign(vh), 2 * f + h * ((0.99 + 0.999) / 3 * s - g**2))
        elif name == "lion":
            yield np.sign(0.9 * m + 0.1 * g)
            m = 0.99 * m + 0.01 * g
        else:
            raise KeyError(name)


def zoo_trajectory(
    name: str,
    *,
    decay: bool,
    intended: bool,
    rate: float,
    warmup: int,
    hold: int,
    gradients: Float64,
    weight: Float64,
) -> Float64:
    """Weights after every step, for gradients [T, ...] that do not depend on them."""
    total = len(gradients)
    eta = learning_rates(rate, total, warmup, hold)
    if decay and name in ("opt4", "opt5", "opt6"):
        a = decay_primitives(total)
        eta = eta * erfc(erfc(a["a4"])) / _d(a["a8"])
    mu = momenta(total, warmup, hold)
    now, m, rows = [weight.astype(np.float64)], np.zeros_like(weight, dtype=np.float64), []
    for t, u in enumerate(_updates(name, decay, intended, gradients, now)):
        step = eta[t] * u
        if name in ("opt9", "opt10", "evo1"):
            m = mu[t] * m - step
            # What the search calls Nesterov momentum adds the buffer as it is.
            now[0] = now[0] + (m if intended or name == "evo1" else mu[t] * m) - step
        else:
            now[0] = now[0] - step
        rows.append(now[0])
    return np.stack(rows)
