"""Writes one step of a rule as C++.

A weight tensor is walked in blocks. Within a block one loop over the elements does all operations
in registers, so that memory is read and written once. Sums over a tensor need the walk to be made
once more for every sum that another sum goes into, each time up to there: a *phase*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template

import torch

from evoptim.kernels.functions import EXPRESSIONS, NEAR, NEAR_EXPRESSIONS, declarations
from evoptim.update.rule import GRADIENT, WEIGHT, Operation, Rule, Scalar

LANES = 16
"""Partial sums that a sum over a block goes into, so that it can be vectorised."""
STRIP, AHEAD = 64, 512
"""Elements computed before the next ones are fetched, and how far ahead those are: so the loop
waits for memory at no time, which is worth a fifth."""


@dataclass(frozen=True)
class Layout:
    """What the compiled code expects of its caller."""

    names: tuple[str, ...]
    """The tensors, in the order of their pointers: gradient, weight, state."""
    masks: tuple[str, ...]
    """The nodes whose uniform numbers follow them."""
    phases: int
    sums: int
    """Partial sums a block."""


def supported(rule: Rule) -> bool:
    """Whether this module can write ``rule``: all but dropout and sums of what is a sum already."""
    reduced = rule.reduced
    return not any(
        each.name in ("drop", "sum") and reduced.issuperset(each.inputs) for each in rule.operations
    )


def layout(rule: Rule) -> Layout:
    """The tensors that the code for ``rule`` takes, and how often it walks over them."""
    masks = dict.fromkeys(each.source for each in rule.operations if each.name == "drop")
    sums = [number for number, each in enumerate(rule.operations) if each.name == "sum"]
    names = (GRADIENT, WEIGHT, *rule.state)
    return Layout(names, tuple(masks), max(_levels(rule)) + 1, len(sums))


def source(rule: Rule, stored: torch.dtype) -> str:
    """C++ without dependencies that takes one step of ``rule``.

    Args:
        rule: What to compute; :func:`supported`.
        stored: Type of gradients and weights: float32, float64, bfloat16 or float16. State is
            float64 beside float64, else float32, and so is what is computed.
    """
    wide = stored == torch.float64
    shape = layout(rule)
    used = frozenset(each.name for each in rule.operations)
    return _FILE.substitute(
        real="double" if wide else "float",
        stored=_STORED[stored],
        conversions=_CONVERSIONS[stored],
        declarations=declarations(used, wide),
        phases="\n".join(_phase(rule, shape, phase, wide) for phase in range(shape.phases)),
        numbers=max(1, len(rule.scalars)),
        given=len(rule.scalars),
        pointers=len(shape.names) + len(shape.masks),
        sums=shape.sums,
        last=shape.phases - 1,
        cases="\n".join(
            f"    case {phase}: phase{phase}(task[2], task[1], at, number, partial, "
            f"tensor[0], tensor[1], task[4]); break;"
            for phase in range(shape.phases)
        ),
    )


def _levels(rule: Rule) -> list[int]:
    """For every operation, the first phase in which its value is known."""
    levels: list[int] = []
    for each in rule.operations:
        before = max((levels[number] for number in each.inputs), default=0)
        levels.append(before + 1 if each.name == "sum" else before)
    return levels


def _phase(rule: Rule, shape: Layout, phase: int, wide: bool) -> str:
    levels = _levels(rule)
    sums = [number for number, each in enumerate(rule.operations) if each.name == "sum"]
    last = phase == shape.phases - 1
    ending = [number for number in sums if levels[number] == phase + 1]
    if last:
        roots = [number for _, number in rule.stores]
    else:
        roots = [rule.operations[number].inputs[0] for number in ending]
    needed = _needed(rule, roots)
    writer = _Writer(rule, wide)
    before: list[str] = []
    loop: list[str] = []
    for number in sorted(needed):
        operation = rule.operations[number]
        if operation.name == "sum":
            place = sums.index(number)
            before.append(f"const real x{number} = total(partial + {place}, first, blocks);")
        elif writer.constant(number):
            before.append(writer.statement(number))
        else:
            loop.append(writer.statement(number))
    pointers = "\n".join(_pointers(shape))
    if last:
        stores = [
            (shape.names.index(name), f"{'store' if name == WEIGHT else ''}(x{number})")
            for name, number in rule.stores
            if rule.operations[number] != Operation("read", source=name)
        ]
        body = loop + [f"p{place}[i] = {value};" for place, value in stores]
        near = [] if wide else _near(rule, needed, writer)
        walk = _two_ways(shape, near, body, dict(stores)) if near else _strips(shape, body, "")
    else:
        walk = _summing(shape, rule, ending, loop)
    return f"static void phase{phase}(PHASE) {{\n{pointers}\n{_indent(before, 2)}\n{walk}\n}}"


def _near(rule: Rule, needed: set[int], writer: _Writer) -> list[str]:
    """The loop with short series in place of functions, where the rule has any; ``far`` tells."""
    if not any(rule.operations[number].name in NEAR_EXPRESSIONS for number in needed):
        return []
    lines = []
    for number in sorted(needed):
        operation = rule.operations[number]
        if operation.name == "sum" or writer.constant(number):
            continue
        lines.append(writer.statement(number, near=True))
        if operation.name in NEAR_EXPRESSIONS:
            # Not "greater than": NaN is far too.
            lines.append(f"far |= !(__builtin_fabsf(x{operation.inputs[0]}) <= {NEAR!r}f);")
    return lines


def _two_ways(shape: Layout, near: list[str], body: list[str], stores: dict[int, str]) -> str:
    """The walk over a block in which most inputs of functions are expected to be small.

    A strip is computed by short series into a buffer, which counts if all inputs were small. After
    the first strip where one was not, the rest of the block takes the long way at once.
    """
    kinds = {
        place: "stored" if shape.names[place] in (GRADIENT, WEIGHT) else "real" for place in stores
    }
    buffers = [f"{kinds[place]} t{place}[{STRIP}];" for place in stores]
    kept = [f"t{place}[i - from] = {value};" for place, value in stores.items()]
    copied = [f"p{place}[i] = t{place}[i - from];" for place in stores]
    return f"""\
{_indent(buffers, 2)}
  bool long_way = false;
  for (i64 from = 0; from < n; from += {STRIP}) {{
    const i64 to = n - from < {STRIP} ? n : from + {STRIP};
{_fetch(shape)}
    if (!long_way) {{
      int far = 0;
      VECTORISE_WITH_FAR for (i64 i = from; i < to; i++) {{
{_indent(near + kept, 8)}
      }}
      if (!far) {{
        VECTORISE for (i64 i = from; i < to; i++) {{
{_indent(copied, 10)}
        }}
        continue;
      }}
      long_way = true;
    }}
    VECTORISE for (i64 i = from; i < to; i++) {{
{_indent(body, 6)}
    }}
  }}"""


def _fetch(shape: Layout) -> str:
    """Fetches what is ahead while the present strip is computed."""
    ahead = "\n".join(
        f"      __builtin_prefetch((const char *)(p{k} + from + {AHEAD}) + line);"
        for k in range(len(shape.names) + len(shape.masks))
    )
    return f"""\
    for (i64 line = 0; line < {STRIP} * (i64)sizeof(real); line += 64) {{
{ahead}
    }}"""


def _strips(shape: Layout, body: list[str], after: str) -> str:
    """The walk over a block."""
    return f"""\
  for (i64 from = 0; from < n; from += {STRIP}) {{
    const i64 to = n - from < {STRIP} ? n : from + {STRIP};
{_fetch(shape)}
    VECTORISE for (i64 i = from; i < to; i++) {{
{_indent(body, 6)}
    }}
{after}
  }}"""


def _pointers(shape: Layout) -> Iterator[str]:
    for index, name in enumerate(shape.names):
        kind = "stored" if name in (GRADIENT, WEIGHT) else "real"
        yield f"  {kind} *__restrict p{index} = ({kind} *)at[{index}] + begin;"
    for index in range(len(shape.names), len(shape.names) + len(shape.masks)):
        yield f"  const real *__restrict p{index} = (const real *)at[{index}] + begin;"


def _summing(shape: Layout, rule: Rule, ending: list[int], loop: list[str]) -> str:
    sums = [number for number, each in enumerate(rule.operations) if each.name == "sum"]
    buffers = [
        f"real b{number}[{STRIP}]; double lanes{number}[{LANES}] = {{0}};" for number in ending
    ]
    kept = [f"b{number}[i - from] = x{rule.operations[number].inputs[0]};" for number in ending]
    added = [
        f"""\
for (i64 i = to - from; i < {STRIP}; i++) b{number}[i] = 0;
    for (i64 i = 0; i < {STRIP}; i += {LANES})
      for (int k = 0; k < {LANES}; k++) lanes{number}[k] += b{number}[i + k];"""
        for number in ending
    ]
    written = [
        f"""\
{{ double all = 0; for (int k = 0; k < {LANES}; k++) all += lanes{number}[k];
    partial[slot * {len(sums)} + {sums.index(number)}] = all; }}"""
        for number in ending
    ]
    walk = _strips(shape, loop + kept, _indent(added))
    return f"{_indent(buffers, 2)}\n{walk}\n{_indent(written, 2)}"


def _needed(rule: Rule, roots: list[int]) -> set[int]:
    """``roots`` and what they are computed from, back to sums that are known."""
    needed: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        if number in needed:
            continue
        needed.add(number)
        if rule.operations[number].name != "sum":
            waiting.extend(rule.operations[number].inputs)
    return needed


class _Writer:
    """Writes single operations."""

    def __init__(self, rule: Rule, wide: bool) -> None:
        self._rule = rule
        self._suffix = "" if wide else "f"
        self._reduced = rule.reduced
        self._shape = layout(rule)
        self._scalars = rule.scalars

    def constant(self, number: int) -> bool:
        """Whether the value is the same for all elements."""
        return number in self._reduced or self._rule.operations[number].name == "full"

    def statement(self, number: int, near: bool = False) -> str:
        """``near``: whether the inputs of functions are small."""
        each = self._rule.operations[number]
        return f"const real x{number} = {self._expression(each, near)};"

    def _expression(self, each: Operation, near: bool) -> str:
        if each.name == "read":
            pointer = f"p{self._shape.names.index(each.source)}[i]"
            return f"load({pointer})" if each.source in (GRADIENT, WEIGHT) else pointer
        inputs = [f"x{number}" for number in each.inputs]
        scalar = self._scalar(each.scalar)
        if each.name == "full":
            return scalar
        if each.name == "drop":
            mask = len(self._shape.names) + self._shape.masks.index(each.source)
            return f"p{mask}[i] >= {scalar} ? {inputs[0]} : (real)0"
        table = {**EXPRESSIONS, **NEAR_EXPRESSIONS} if near else EXPRESSIONS
        return table[each.name].format(*inputs, s=scalar, f=self._suffix)

    def _scalar(self, scalar: float | Scalar | None) -> str:
        if isinstance(scalar, Scalar):
            return f"number[{self._scalars.index(scalar)}]"
        if scalar is None:
            return ""
        if math.isinf(scalar):
            return "__builtin_inf()" if scalar > 0 else "-__builtin_inf()"
        return '__builtin_nan("")' if math.isnan(scalar) else f"(real){float(scalar)!r}"


def _indent(lines: list[str], by: int = 4) -> str:
    return "\n".join(" " * by + line for line in lines)


_STORED = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "unsigned short",
    torch.float16: "unsigned short",
}

_SAME = """
INLINE real load(stored x) { return x; }
INLINE stored store(real x) { return x; }
"""

_BITS = """
typedef unsigned int bits;
INLINE bits bits_of(float x) { bits b; __builtin_memcpy(&b, &x, 4); return b; }
INLINE float number_of(bits b) { float x; __builtin_memcpy(&x, &b, 4); return x; }
"""

_BFLOAT16 = """
INLINE real load(stored x) { return number_of((bits)x << 16); }
// To nearest, ties to even; NaN stays NaN.
INLINE stored store(real x) {
  const bits b = bits_of(x);
  const bits rounded = (b + 0x7fff + ((b >> 16) & 1)) >> 16;
  return (stored)(x == x ? rounded : 0x7fc0);
}
"""

_FLOAT16 = """
// The exponent is moved to its new place and then corrected by a multiplication, which gets
// subnormal numbers right too; infinity and NaN need the highest exponent.
INLINE real load(stored h) {
  const bits magnitude = (bits)(h & 0x7fff) << 13;
  const bits finite = bits_of(number_of(magnitude) * 0x1p112f);
  const bits other = magnitude | 0x7f800000;
  return number_of((((bits)h & 0x8000) << 16) | (magnitude >= 0x0f800000 ? other : finite));
}
// To nearest, ties to even: in the normal range by adding just below half a unit, in the subnormal
// range by an addition that leaves the result in the last bits.
INLINE stored store(real x) {
  const bits b = bits_of(x), sign = (b >> 16) & 0x8000, magnitude = b & 0x7fffffff;
  const bits normal = (magnitude - 0x38000000 + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  const bits subnormal = bits_of(number_of(magnitude) + 0.5f) - 0x3f000000;
  const bits finite = magnitude < 0x38800000 ? subnormal : normal;
  const bits large = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  return (stored)(sign | (magnitude >= 0x477ff000 ? large : finite));
}
"""

_CONVERSIONS = {
    torch.float32: _SAME,
    torch.float64: _SAME,
    torch.bfloat16: _BITS + _BFLOAT16,
    torch.float16: _BITS + _FLOAT16,
}

# Tasks are taken in order, and one waits only for earlier ones, which run or are done: whatever
# the number of threads, and whichever of them start, no wait is forever.
_FILE = Template("""// Generated by evoptim.kernels.
typedef __INT64_TYPE__ i64;
typedef $real real;
typedef $stored stored;
#ifdef VECTOR_MATH
#define VECTOR __attribute__((simd("notinbranch")))
#else
#define VECTOR
#endif
#define INLINE static inline __attribute__((always_inline))
#define VECTORISE _Pragma("omp simd")
#define VECTORISE_WITH_FAR _Pragma("omp simd reduction(|:far)")
extern "C" int sched_yield(void);
$conversions
$declarations

// One of the sums over a tensor, from its blocks in their order.
INLINE real total(const double *partial, i64 first, i64 blocks) {
  double sum = 0;
  for (i64 k = first; k < first + blocks; k++) sum += partial[k * $sums];
  return (real)sum;
}

#define PHASE i64 n, i64 begin, void *const *at, const real *number, double *partial, \\
              i64 first, i64 blocks, i64 slot
$phases

// task: tensor, first element, elements, phase, block. tensor: first block, blocks.
extern "C" void step(const i64 (*tasks)[5], i64 count, const i64 (*tensors)[2],
                     void *const *data, const double *given, double *partial, i64 *done,
                     i64 *next) {
  real number[$numbers];
  for (int k = 0; k < $given; k++) number[k] = (real)given[k];
  for (;;) {
    const i64 taken = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
    if (taken >= count) return;
    const i64 *task = tasks[taken], *tensor = tensors[task[0]];
    void *const *at = data + task[0] * $pointers;
    while (task[3] && __atomic_load_n(done + task[0], __ATOMIC_ACQUIRE) < task[3] * tensor[1])
      sched_yield();
    switch (task[3]) {
$cases
    }
    if (task[3] < $last) __atomic_fetch_add(done + task[0], 1, __ATOMIC_RELEASE);
  }
}
""")
