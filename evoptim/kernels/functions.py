"""The elementary functions of generated C++: text, in terms of what a system has.

``{f}`` is the suffix of the C library's float functions. What a rule does not use is left out, so
that a function that a system lacks a vector form of costs only the rules that need it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

EXPRESSIONS = {
    "neg": "-{0}",
    "abs": "__builtin_fabs{f}({0})",
    # 0 at NaN, as in torch.
    "sign": "(real)(({0} > 0) - ({0} < 0))",
    "sqrt": "__builtin_sqrt{f}({0})",
    "exp": "e_exp({0})",
    "log": "e_log({0})",
    "sigmoid": "1 / (1 + e_exp(-{0}))",
    "tanh": "e_tanh({0})",
    "atan": "atan{f}({0})",
    "asinh": "e_asinh({0})",
    "erf": "erf{f}({0})",
    "erfc": "erfc{f}({0})",
    "i1e": "e_i1e({0})",
    "reciprocal": "1 / {0}",
    "add_scalar": "{0} + {s}",
    "mul_scalar": "{0} * {s}",
    # A product with the inverse: six times as fast, at most 1.5 units in the last place off.
    "div_scalar": "{0} * (1 / {s})",
    # A comparison with NaN is false, so that a NaN of the first input stays.
    "clamp_min": "{0} < {s} ? {s} : {0}",
    "clamp_max": "{0} > {s} ? {s} : {0}",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "pow": "pow{f}({0}, {1})",
    # One rounding, as torch's vectorised add(x, y, alpha=...).
    "add_scaled": "__builtin_fma{f}({s}, {1}, {0})",
}
"""Operation -> expression: ``{0}``, ``{1}`` its inputs, ``{s}`` its scalar."""

NEAR = 0.5
"""Up to this size of their input the functions of :data:`NEAR_EXPRESSIONS` are short series."""
NEAR_EXPRESSIONS = {
    "asinh": "near_asinh({0})",
    "tanh": "near_tanh({0})",
    "i1e": "near_i1e({0})",
}
"""Expressions for float32 inputs of at most :data:`NEAR` in size, to rounding as exact."""

_LIBRARY = ("exp", "log", "tanh", "atan", "asinh", "erf", "erfc", "pow")
"""What comes from the C library."""

_NEEDS = {"sigmoid": ("exp",), "i1e": ("exp",), "asinh": ("log",), "tanh": ("exp",)}
"""Functions that are written by means of others."""


def declarations(operations: frozenset[str], double: bool) -> str:
    """C++ that the expressions of ``operations`` stand on.

    No header is included: this makes a build three times faster, and a header's own declarations
    would come without the attribute.
    """
    f, real = ("", "double") if double else ("f", "float")
    used = operations.union(*(_NEEDS.get(each, ()) for each in operations))
    f, real = ("", "double") if double else ("f", "float")
    lines = ["" if double else _BITS]
    lines += [_LARGER] if used & {"maximum", "minimum"} else []
    for name in _LIBRARY:
        if name in used and (double or name not in _OWN):
            arguments = f"{real}, {real}" if name == "pow" else real
            lines.append(f'extern "C" VECTOR {real} {name}{f}({arguments});')
    for name, write in _OWN.items():
        if name in used:
            lines.append(_plain(name) if double else write())
    if "i1e" in used:
        lines.append(_i1e_double() if double else _i1e())
    if not double:
        lines += [_near(name) for name in NEAR_EXPRESSIONS if name in operations]
    return "\n".join(lines)


def _near(name: str) -> str:
    """By Horner's scheme: x times a series in x² or, for i1e, in |x|."""
    if name == "i1e":
        series = _fit(
            lambda z: _i1e_exactly(z) / z if z > 1e-3 else math.exp(-z) * (0.5 + z * z / 16),
            0.0,
            NEAR,
            3e-8,
        )
        return f"""
{_chain("near_i1e_over", series)}
INLINE real near_i1e(real x) {{ return x * near_i1e_over(__builtin_fabsf(x)); }}"""
    function = {"asinh": math.asinh, "tanh": math.tanh}[name]
    series = _fit(lambda q: function(math.sqrt(q)) / math.sqrt(q), 0.0, NEAR**2, 3e-8)
    return f"""
{_chain(f"near_{name}_over", series)}
INLINE real near_{name}(real x) {{ return x * near_{name}_over(x * x); }}"""


def _plain(name: str) -> str:
    return f"INLINE double e_{name}(double x) {{ return {name}(x); }}"


# As one expression, with "or", GCC does not vectorise them.
_LARGER = """
INLINE real larger(real a, real b) { const real m = a > b ? a : b; return a != a ? a : m; }
INLINE real smaller(real a, real b) { const real m = a < b ? a : b; return a != a ? a : m; }
"""


_BITS = """
INLINE float number_at(int b) { float x; __builtin_memcpy(&x, &b, 4); return x; }
INLINE int bits_at(float x) { int b; __builtin_memcpy(&b, &x, 4); return b; }
"""
_HIGH = 355 / 512
_LOW = math.log(2) - _HIGH
"""Log 2 in two parts: whole multiples of the first one, up to 2^15, are exact in float32."""


def _exp() -> str:
    half = math.log(2) / 2
    series = _fit(
        lambda r: (math.exp(r) - 1 - r) / r**2 if abs(r) > 1e-3 else 0.5 + r / 6,
        -1.01 * half,
        1.01 * half,
        5e-7,
    )
    return f"""
{_chain("exp_near", series)}
// 2^n e^r: adding 1.5 * 2^23 rounds to a whole number n and leaves it in the last bits. The power
// of two goes in by halves, so that results near both ends of the range come out right.
INLINE real e_exp(real x) {{
  const real z = __builtin_fabsf(x), a = __builtin_copysignf(z > 105.0f ? 105.0f : z, x);
  const real shifted = __builtin_fmaf(a, {1 / math.log(2)!r}f, 12582912.0f);
  const real n = shifted - 12582912.0f;
  const real r = __builtin_fmaf(n, {-_LOW!r}f, __builtin_fmaf(n, {-_HIGH!r}f, a));
  const int power = bits_at(shifted) - 0x4b400000, half = power >> 1;
  const real near = __builtin_fmaf(r * exp_near(r), r, r) + 1;
  return near * number_at((half + 127) << 23) * number_at((power - half + 127) << 23);
}}"""


def _log() -> str:
    def rest(f: float) -> float:
        return (math.log1p(f) - f + f * f / 2) / f**3 if abs(f) > 1e-3 else 1 / 3 - f / 4

    return f"""
{_polynomial("log_near", _fit(rest, -1 / 3, 1 / 3, 8e-7))}
// n log 2 + log(1 + f) with 1 + f from 2/3 to 4/3, for numbers from 2^-126 on. shift adds to n.
INLINE real log_of_normal(real x, real shift) {{
  const int b = bits_at(x), power = (b - 0x3f2aaaab) >> 23;
  const real f = number_at(b - (power << 23)) - 1, n = (real)power + shift;
  const real small = __builtin_fmaf(f * f, __builtin_fmaf(f, log_near(f), -0.5f), n * {_LOW!r}f);
  return __builtin_fmaf(n, {_HIGH!r}f, f + small);
}}
INLINE real e_log(real x) {{
  const bool tiny = x < 0x1p-126f;
  const real finite = log_of_normal(tiny ? x * 0x1p24f : x, tiny ? -24.0f : 0.0f);
  const real positive = x > {_MOST!r}f ? x : finite;
  const real known = x == 0 ? -__builtin_inff() : positive;
  return x >= 0 ? known : __builtin_nanf("");
}}"""


def _tanh() -> str:
    return f"""
// t / (t + 2) with t = e^2z - 1 = 2^n (e^r - 1) + (2^n - 1), which loses nothing at 0.
INLINE real e_tanh(real x) {{
  const real z = 2 * __builtin_fabsf(x), a = z > 20.0f ? 20.0f : z;
  const real shifted = __builtin_fmaf(a, {1 / math.log(2)!r}f, 12582912.0f);
  const real n = shifted - 12582912.0f;
  const real r = __builtin_fmaf(n, {-_LOW!r}f, __builtin_fmaf(n, {-_HIGH!r}f, a));
  const real scale = number_at((bits_at(shifted) - 0x4b400000 + 127) << 23);
  const real t = __builtin_fmaf(scale, __builtin_fmaf(r * exp_near(r), r, r), scale - 1);
  return __builtin_copysignf(t / (t + 2), x);
}}"""


def _asinh() -> str:
    series = _fit(lambda q: math.asinh(math.sqrt(q)) / math.sqrt(q), 0.0, 1.0, 3e-8)
    return f"""
{_chain("asinh_near", series)}
// log 2y with y = (z + sqrt(z^2 + 1)) / 2, or a series in z^2.
INLINE real e_asinh(real x) {{
  const real z = __builtin_fabsf(x);
  const real root = __builtin_sqrtf(__builtin_fmaf(z, z, 1));
  const real y = __builtin_fmaf(0.5f, z, 0.5f * (z > 1e9f ? z : root));
  const real far = __builtin_copysignf(log_of_normal(y, 1), x);
  const real finite = z < 1 ? x * asinh_near(x * x) : far;
  return z <= {_MOST!r}f ? finite : x;
}}"""


def _i1e() -> str:
    return f"""
{_polynomial("i1e_mapped", i1e_map_coefficients())}
INLINE real e_i1e(real x) {{
  const real y = 1 / (__builtin_fabsf(x) + {SHIFT!r}f);
  const real scaled = i1e_mapped(__builtin_fmaf({-2 * SHIFT!r}f, y, 1)) * __builtin_sqrtf(y);
  // Infinity times the 0 that y is there would be NaN.
  return __builtin_fabsf(x) > {_MOST!r}f ? __builtin_copysignf(0, x) : x * y * scaled;
}}"""


def _i1e_double() -> str:
    small, large = i1e_coefficients()
    return f"""
{_chain("i1e_near", small, double=True)}
{_polynomial("i1e_far", large, double=True)}
INLINE real e_i1e(real x) {{
  const real z = __builtin_fabs(x);
  const real near = z * exp(-z) * i1e_near(z * z);
  const real far = i1e_far({2 * SPLIT!r} / z - 1) / __builtin_sqrt(z);
  return __builtin_copysign(z < {SPLIT!r} ? near : far, x);
}}"""


_OWN: dict[str, Callable[[], str]] = {"exp": _exp, "log": _log, "tanh": _tanh, "asinh": _asinh}
"""Written here for float32. A call into a library makes the caller save all that it holds in
vector registers, twice the time of the function itself; float64, where fewer train, calls it."""


def _polynomial(name: str, coefficients: list[float], double: bool = False) -> str:
    """A function called ``name``, for multiples of 2^-24: by Horner's scheme in x^4.

    In that of x each operation waits for the one before. Higher powers would underflow, and
    numbers below the normal range take a hundred times as long.
    """
    f, real = ("", "double") if double else ("f", "float")
    terms = [f"({real}){each!r}" for each in coefficients]
    for power in ("x", "x2"):
        pairs = [
            f"__builtin_fma{f}({high}, {power}, {low})"
            for low, high in zip(terms[::2], terms[1::2], strict=False)
        ]
        terms = pairs + terms[2 * len(pairs) :]
    nested = terms[-1]
    for each in reversed(terms[:-1]):
        nested = f"__builtin_fma{f}({nested}, x4, {each})"
    return (
        f"INLINE {real} {name}({real} x) {{\n"
        f"  const {real} x2 = x * x, x4 = x2 * x2;\n  return {nested};\n}}"
    )


def _chain(name: str, coefficients: list[float], double: bool = False) -> str:
    """A function called ``name``, by Horner's scheme: for any argument, however small."""
    f, real = ("", "double") if double else ("f", "float")
    text = f"({real}){coefficients[-1]!r}"
    for each in reversed(coefficients[:-1]):
        text = f"__builtin_fma{f}({text}, x, ({real}){each!r})"
    return f"INLINE {real} {name}({real} x) {{ return {text}; }}"


def _fit(
    function: Callable[[float], float], low: float, high: float, tolerance: float
) -> list[float]:
    """A polynomial through ``function`` at Chebyshev nodes, of the least degree that suffices."""
    checked = low + (high - low) * (np.arange(200) + 0.5) / 200
    exact = np.array([function(x) for x in checked])
    for degree in range(2, 40):
        nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
        nodes = (high + low) / 2 + (high - low) / 2 * nodes
        values = [function(x) for x in nodes]
        series = np.polynomial.Chebyshev.fit(nodes, values, degree, domain=[low, high])
        if np.abs(series(checked) / exact - 1).max() < tolerance:
            break
    return [float(each) for each in series.convert(kind=np.polynomial.Polynomial).coef]


SPLIT = 8.0
"""Where :func:`i1e_coefficients` goes over from one form to the other."""
_MOST = float(np.finfo(np.float32).max)
SHIFT = 4.0
"""c of :func:`i1e_map_coefficients`: there the polynomial varies little."""


@functools.lru_cache(maxsize=1)
def i1e_coefficients() -> tuple[list[float], list[float]]:
    r"""Polynomials for :math:`e^{-|x|} I_1(x)` in float64.

    Below :data:`SPLIT`, with z = |x|, the power series of :math:`I_1(z) / z` in z²: all its terms
    are positive, so that nothing cancels. Above, :math:`\sqrt{z} e^{-z} I_1(z)`, which lies between
    0.37 and 0.4, in 2 SPLIT / z - 1.
    """
    small, power = [0.5], 0
    while small[-1] * SPLIT ** (2 * power) > 1e-18 * _i1e_exactly(SPLIT) * math.exp(SPLIT):
        power += 1
        small.append(small[-1] / (4 * power * (power + 1)))
    limit = math.sqrt(1 / (2 * math.pi))

    def scaled(u: float) -> float:
        z = 2 * SPLIT / (u + 1) if u > -1 else math.inf
        return math.sqrt(z) * _i1e_exactly(z) if z < 1e6 else limit * (1 - 0.375 / z)

    # 8e-16: the rounding of the values, which no degree improves on.
    return small, _fit(scaled, -1.0, 1.0, 8e-16)


@functools.lru_cache(maxsize=1)
def i1e_map_coefficients() -> list[float]:
    r"""For float32, :math:`e^{-z} I_1(z) (z + c)^{3/2} / z` in t = (z - c) / (z + c).

    One form for all z from 0 to infinity, without an exponential: the factor takes out how
    :math:`e^{-z} I_1(z)` grows at 0 and falls at infinity, and t maps all of it onto [-1, 1].
    """

    def scaled(t: float) -> float:
        z = SHIFT * (1 + t) / (1 - t) if t < 1 else math.inf
        if z > 1e6:
            return 1 / math.sqrt(2 * math.pi)
        ratio = _i1e_exactly(z) / z if z > 1e-3 else math.exp(-z) * (0.5 + z * z / 16)
        return float(ratio * (z + SHIFT) ** 1.5)

    return _fit(scaled, -1.0, 1.0, 6e-8)


def _i1e_exactly(z: float) -> float:
    """The integral over θ of exp(z (cos θ - 1)) cos θ / π from 0 to π.

    The integrand is periodic and entire, so that the trapezoidal rule converges faster than any
    power of the number of points.
    """
    points = 64 + 16 * math.ceil(math.sqrt(z))
    angles = np.pi * np.arange(points + 1) / points
    values = np.exp(-2 * z * np.sin(angles / 2) ** 2) * np.cos(angles)
    values[[0, -1]] /= 2
    return math.fsum(values.tolist()) / points
