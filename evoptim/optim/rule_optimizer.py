"""Any formula as a ``torch.optim.Optimizer``."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from evoptim.errors import EvoptimError, InputError
from evoptim.optim.batches import Batch, batches, one_by_one
from evoptim.optim.progress import Horizon, factor_table
from evoptim.update import Formula, Interpreter, ListUniform, Options, Rule, Scalar
from evoptim.update.rule import GRADIENT, WEIGHT

if TYPE_CHECKING:
    from typing_extensions import Unpack

_HALF = (torch.float16, torch.bfloat16)
# Around it torch hides it from torch.compile, which imports the compiler: a second of every pod.
_add_group = inspect.unwrap(Optimizer.add_param_group)


class OptimizerError(EvoptimError, RuntimeError):
    """A step that cannot be taken."""


class OptimizerOptions(TypedDict, total=False):
    """The keyword arguments that all evolved optimizers share: see :class:`RuleOptimizer`."""

    total_steps: int | None
    warmup_steps: int
    hold_steps: int
    base_schedule: bool
    weight_decay: float
    decoupled_weight_decay: bool
    maximize: bool
    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool
    seed: int


_DEFAULTS: MappingProxyType[str, Any] = MappingProxyType(
    {
        "total_steps": None,
        "warmup_steps": 0,
        "hold_steps": 0,
        "base_schedule": True,
        "weight_decay": 0.0,
        "decoupled_weight_decay": False,
        "maximize": False,
        "foreach": None,
        "fused": None,
        "capturable": False,
        "differentiable": False,
        "seed": 0,
    }
)


class RuleOptimizer(Optimizer):
    """Trains with a formula: everything that users of ``torch.optim`` expect around it.

    Args:
        params: Tensors to optimize, or dicts that define parameter groups.
        formula: The update rule.
        lr: Peak learning rate, at least 0; a tensor of one element keeps ``torch.compile`` from
            recompiling when it changes.
        total_steps: T, the number of steps that the schedule and the decays span. Without it the
            rate is ``lr`` as any external scheduler sets it and the momentum coefficient is 0.9;
            formulas with decay functions need it. Past it the last value of everything holds.
        warmup_steps: Steps of linear warm-up. The first of them has rate 0.
        hold_steps: Steps at the peak rate between warm-up and cosine.
        base_schedule: False leaves the rate to an external scheduler while ``total_steps`` still
            drives the decays and the momentum coefficient.
        weight_decay: Weight decay coefficient, at least 0.
        decoupled_weight_decay: True shrinks the weights by rate * coefficient as AdamW does;
            False adds coefficient * weight to the gradient.
        maximize: Ascend instead of descend.
        foreach: False updates tensor by tensor; None and True in batches, to the same result.
        fused: True runs a compiled kernel (C++ on a CPU, Inductor elsewhere) that agrees with the
            interpreter to rounding; where there is no compiler, a warning and the interpreter.
        capturable: Keep every step counter on the weights' device, for CUDA graphs. Dropout masks
            then come from torch's own generator.
        differentiable: Must be False: steps change weights in place.
        seed: Seed of the dropout masks; of no effect on formulas without dropout.

    State for every weight tensor: ``step``, the number of gradients seen, and the tensors that the
    formula needs, of the weight's shape and type (float32 for 16-bit weights).

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        formula: Formula,
        *,
        lr: float | Tensor,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.formula = formula
        """What it computes; read only."""
        self._prepare()
        defaults = {"lr": lr, **_DEFAULTS, **options, "formula": formula.name}
        unknown = set(options) - set(_DEFAULTS)
        if unknown:
            raise TypeError(
                f"there is no option {', '.join(sorted(unknown))}; choose among "
                f"{', '.join(_DEFAULTS)}"
            )
        _check_group(formula, defaults)
        if not isinstance(params, Tensor):
            params = list(params)  # type: ignore[assignment]
            if not params:
                raise InputError(
                    "there is nothing to optimize: params is empty; give it "
                    "model.parameters() of a model that has weights"
                )
        super().__init__(params, defaults)

    @property
    def tensorwise(self) -> bool:
        """Whether a step depends on which numbers make up a weight tensor: on its norm, say."""
        return any(
            self.formula.rule(Options(*_options(group))).reduced for group in self.param_groups
        )

    def _prepare(self) -> None:
        self._state_names = self.formula.rule(Options()).state
        self._interpreters: dict[tuple[bool, bool, bool], Interpreter] = {}
        self._tables: dict[tuple[Horizon, torch.device | None], Tensor] = {}
        self._warned_of_the_end = False

    # torch's own copy and pickle support carries groups and state only.
    def __getstate__(self) -> dict[str, Any]:
        own = {
            name: value
            for name, value in vars(self).items()
            if name not in ("_interpreters", "_tables", "_warned_of_the_end")
        }
        return {**own, **super().__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which joins the schedule where it stands.

        What the group does not set comes from the constructor's arguments.

        Raises:
            InputError: an argument of the group is out of range.
        """
        _check_group(self.formula, {**self.defaults, **param_group})
        _add_group(self, param_group)
        group = self.param_groups[-1]
        taken = int(self.param_groups[0]["step"]) if len(self.param_groups) > 1 else 0
        group["step"] = _counter(group, group.get("step", taken))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken, bit for bit.

        Raises:
            InputError: the state is that of another formula.
        """
        own: dict[str, Any] = {}

        def take(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            self._check_origin(given)
            # torch would keep the very tensors, and two optimizers would then change the same ones.
            own.update(copy.deepcopy(given))
            return own

        # Between the hooks of others: those before may rename or convert what was saved, those
        # after find all of it loaded.
        handles = (
            self.register_load_state_dict_pre_hook(take),
            self.register_load_state_dict_post_hook(lambda _: self._restore(own), prepend=True),
        )
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def _restore(self, saved: dict[str, Any]) -> None:
        """What torch's own loading leaves out or rounds."""
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            group["step"] = _counter(group, group.get("step", 0))
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        weights = [(group, weight) for group in self.param_groups for weight in group["params"]]
        for number, (group, weight) in zip(numbers, weights, strict=True):
            state = self.state.get(weight)
            if not state:
                continue
            device = weight.device if group["capturable"] else torch.device("cpu")
            state["step"] = torch.as_tensor(state["step"]).to(device, torch.float32)
            # torch would round it to the weights' type.
            if weight.dtype in _HALF:
                for name, value in saved["state"][number].items():
                    if name != "step":
                        state[name] = value.to(weight.device, torch.float32)

    def _check_origin(self, state_dict: dict[str, Any]) -> None:
        for group in state_dict["param_groups"]:
            theirs = group.get("formula")
            if theirs != self.formula.name:
                whose = f"that of {theirs}" if theirs else "not that of an evoptim optimizer"
                raise InputError(
                    f"the state_dict is {whose}, this optimizer runs {self.formula.name}: "
                    "build it from the same genome or zoo name"
                )

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What the closure returned.

        Raises:
            OptimizerError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        _check_step(self.param_groups)
        first = 0
        for group in self.param_groups:
            self._step_group(group, first)
            first += len(group["params"])
        return loss

    def _step_group(self, group: dict[str, Any], first: int) -> None:
        """``first`` is the place of the group's first tensor among all of the optimizer's."""
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        counts: list[Tensor] = []
        tables: list[Tensor] = []
        states: dict[str, list[Tensor]] = {name: [] for name in self._state_names}
        self._init_group(group, weights, gradients, counts, tables, *states.values())
        if weights:
            torch._foreach_add_(counts, 1.0)
            tensors = {GRADIENT: gradients, WEIGHT: weights, **states}
            if group["capturable"] or torch.compiler.is_compiling():
                self._step_on_device(group, tensors, counts, tables)
            else:
                self._step_in_batches(group, tensors, counts, tables[0], first)
        group["step"].add_(1)

    # torch.compile calls this by its name, outside of what it compiles, and takes the lists.
    def _init_group(
        self,
        group: dict[str, Any],
        weights: list[Tensor],
        gradients: list[Tensor],
        counts: list[Tensor],
        tables: list[Tensor],
        *states: list[Tensor],
    ) -> None:
        """Fill the lists: what has a gradient, and the group's factors, once for each device."""
        options = _options(group)
        if options not in self._interpreters:
            self._interpreters[options] = Interpreter(self.formula.rule(Options(*options)))
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                device = weight.device if group["capturable"] else torch.device("cpu")
                state["step"] = torch.zeros((), dtype=torch.float32, device=device)
                for name in self._state_names:
                    state[name] = torch.zeros_like(weight, dtype=_computed_in(weight))
            weights.append(weight)
            gradients.append(weight.grad)
            counts.append(state["step"])
            for name, each in zip(self._state_names, states, strict=True):
                each.append(state[name])
        for device in dict.fromkeys(weight.device for weight in weights):
            tables.append(self._table(group, device if group["capturable"] else None))

    def _table(self, group: dict[str, Any], device: torch.device | None) -> Tensor:
        horizon = Horizon(*(group[name] for name in _HORIZON))
        if (horizon, device) not in self._tables:
            table = factor_table(self.formula, horizon)
            self._tables[horizon, device] = table if device is None else table.to(device)
        return self._tables[horizon, device]

    def _step_in_batches(
        self,
        group: dict[str, Any],
        tensors: dict[str, list[Tensor]],
        counts: list[Tensor],
        table: Tensor,
        first: int,
    ) -> None:
        step = int(group["step"])
        if step >= len(table) and group["total_steps"] is not None:
            self._warn_of_the_end(group)
        factors: list[float] = table[min(step, len(table) - 1)].tolist()
        interpreter = self._interpreters[_options(group)]
        with_gradient = [
            place for place, weight in enumerate(group["params"], first) if weight.grad is not None
        ]
        alike: dict[tuple[torch.device, torch.dtype, int], list[int]] = {}
        for index, (weight, seen) in enumerate(zip(tensors[WEIGHT], counts, strict=True)):
            alike.setdefault((weight.device, weight.dtype, int(seen)), []).append(index)
        for (device, dtype, count), indices in alike.items():
            scalars = [
                self._number(scalar, group, float(group["lr"]), factors, count)
                for scalar in interpreter.rule.scalars
            ]
            batch = Batch(
                {name: [_real(each[index]) for index in indices] for name, each in tensors.items()},
                [with_gradient[index] for index in indices],
            )
            kernel = _kernel(interpreter, dtype, device) if group["fused"] else None
            for piece in _pieces(batch, group, interpreter.rule, kernel is not None):
                masks = _masks(group["seed"], step, piece.places)
                if kernel is not None:
                    kernel(piece.tensors, scalars, masks)
                else:
                    _interpret(interpreter, piece.tensors, scalars, masks)

    def _step_on_device(
        self,
        group: dict[str, Any],
        tensors: dict[str, list[Tensor]],
        counts: list[Tensor],
        tables: list[Tensor],
    ) -> None:
        """As :meth:`_step_in_batches`, without a number ever leaving its device."""
        interpreter = self._interpreters[_options(group)]
        alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for index, weight in enumerate(tensors[WEIGHT]):
            alike.setdefault((weight.device, weight.dtype), []).append(index)
        by_device = dict(zip(dict.fromkeys(device for device, _ in alike), tables, strict=True))
        for (device, _), indices in alike.items():
            table = by_device[device]
            step = group["step"].to(table.device).clamp(max=len(table) - 1)
            factors = table.index_select(0, step.view(1)).view(-1).to(device).unbind()
            seen = [counts[index].to(device) for index in indices]
            lr = group["lr"].to(device) if isinstance(group["lr"], Tensor) else group["lr"]
            scalars = [
                self._number(scalar, group, lr, factors, seen)
                for scalar in interpreter.rule.scalars
            ]
            lists = {
                name: [_real(each[index]) for index in indices] for name, each in tensors.items()
            }
            _interpret(interpreter, lists, scalars, _random_masks)

    def _number(
        self,
        scalar: Scalar,
        group: dict[str, Any],
        lr: float | Tensor,
        factors: Sequence[Any],
        count: int | list[Tensor],
    ) -> Any:
        """The value of ``scalar``: numbers where the factors are numbers, else tensors."""
        rate = lr * factors[0]
        if scalar.kind == "rate":
            return rate * -self.formula.sign
        if scalar.kind == "momentum":
            return factors[1]
        if scalar.kind == "decay":
            return factors[2 + int(scalar.parameter)]
        if scalar.kind == "weight_decay":
            return group["weight_decay"]
        if scalar.kind == "shrink":
            return 1.0 - rate * group["weight_decay"]
        if isinstance(count, int):
            return 1.0 - scalar.parameter**count
        # 1 - beta^n loses half of float32's digits at small n, expm1 none.
        powers = torch._foreach_mul(count, math.log(scalar.parameter))
        return torch._foreach_neg(torch._foreach_expm1(powers))

    def _warn_of_the_end(self, group: dict[str, Any]) -> None:
        if not self._warned_of_the_end:
            self._warned_of_the_end = True
            warnings.warn(
                f"the schedule spans total_steps={group['total_steps']} steps and all are taken: "
                "its last values hold from here on; build the optimizer with more steps if "
                "training is to go on",
                stacklevel=5,
            )


_HORIZON = ("total_steps", "warmup_steps", "hold_steps", "base_schedule")


def _options(group: dict[str, Any]) -> tuple[bool, bool, bool]:
    """The arguments of :class:`evoptim.update.Options`."""
    decays = group["weight_decay"] != 0.0
    decoupled = group["decoupled_weight_decay"]
    return (decays and not decoupled, decays and decoupled, group["maximize"])


def _pieces(batch: Batch, group: dict[str, Any], rule: Rule, fused: bool) -> Iterable[Batch]:
    if fused and not rule.stochastic:
        return [batch]
    if group["foreach"] is False:
        return one_by_one(batch)
    # Masks take memory as temporaries do.
    return batches(batch, split=rule.elementwise)


def _kernel(interpreter: Interpreter, dtype: torch.dtype, device: torch.device) -> Any:
    # Imported where it is asked for: most trainings never build a kernel.
    from evoptim.kernels import kernel

    return kernel(interpreter.rule, dtype, device)


def _computed_in(weight: Tensor) -> torch.dtype:
    return torch.float32 if weight.dtype in _HALF else weight.dtype


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _interpret(
    interpreter: Interpreter,
    tensors: Mapping[str, list[Tensor]],
    scalars: Sequence[Any],
    uniform: ListUniform,
) -> None:
    weights = tensors[WEIGHT]
    if weights[0].dtype not in _HALF:
        interpreter(tensors, scalars, uniform)
        return
    wide = [weight.float() for weight in weights]
    gradients = [gradient.float() for gradient in tensors[GRADIENT]]
    interpreter({**tensors, WEIGHT: wide, GRADIENT: gradients}, scalars, uniform)
    torch._foreach_copy_(weights, wide)


def _masks(seed: int, step: int, places: Sequence[int]) -> ListUniform:
    """Masks addressed by (seed, step, tensor, node), so that a resumed run draws the same ones."""

    def draw(node: int, like: Sequence[Tensor]) -> list[Tensor]:
        return [one(node, place, each) for place, each in zip(places, like, strict=True)]

    def one(node: int, place: int, like: Tensor) -> Tensor:
        address = ((seed * 1_000_003 + step) * 1_000_003 + place) * 8 + node
        generator = torch.Generator(like.device).manual_seed(address % 2**63)
        return torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)

    return draw


def _random_masks(node: int, like: Sequence[Tensor]) -> list[Tensor]:  # noqa: ARG001
    return [torch.rand_like(each) for each in like]


def _counter(group: dict[str, Any], steps: int | Tensor) -> Tensor:
    """The group's number of steps taken, on the device where it is needed."""
    weights = group["params"]
    device = weights[0].device if group["capturable"] and weights else torch.device("cpu")
    return torch.as_tensor(steps, dtype=torch.int64, device=device).clone()


def _check_group(formula: Formula, group: dict[str, Any]) -> None:
    lr, total_steps, weight_decay = group["lr"], group["total_steps"], group["weight_decay"]
    if not _finite(lr):
        raise InputError(f"lr is a finite rate of at least 0, got {lr!r}")
    if not _finite(weight_decay) or isinstance(weight_decay, Tensor):
        raise InputError(f"weight_decay is a finite number of at least 0, got {weight_decay!r}")
    for name, least in (("total_steps", 1), ("warmup_steps", 0), ("hold_steps", 0), ("seed", 0)):
        value = group[name]
        if value is None and name == "total_steps":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} is a whole number of at least {least}, got {value!r}")
    ramp = group["warmup_steps"] + group["hold_steps"]
    if total_steps is None:
        if formula.needs_horizon:
            raise InputError(
                f"{formula.name} has functions of training progress and total_steps=None gives "
                "none: pass total_steps=epochs * len(loader), the number of steps of the training"
            )
        if ramp:
            raise InputError(
                f"warmup_steps={group['warmup_steps']} and hold_steps={group['hold_steps']} are "
                "parts of a schedule that total_steps=None does not have: pass total_steps too"
            )
    elif ramp >= total_steps:
        raise InputError(
            f"warmup_steps + hold_steps must stay below total_steps, got {group['warmup_steps']} "
            f"+ {group['hold_steps']} >= {total_steps}"
        )
    if group["differentiable"]:
        raise InputError(
            "differentiable=True is not supported: a step changes weights and state in place; "
            "leave it False"
        )
    if group["fused"] and group["foreach"]:
        raise InputError("fused=True and foreach=True exclude each other: leave one of them out")


def _finite(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and bool(torch.isfinite(value).item()) and value.item() >= 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0


# Checked before any weight moves, so that a refused step leaves everything as it was.
def _check_step(groups: list[dict[str, Any]]) -> None:
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    for group in groups:
        if capturing and not group["capturable"]:
            raise OptimizerError(
                "a CUDA graph would repeat this step's rate for ever: build the optimizer with "
                "capturable=True to capture it"
            )
        for weight in group["params"]:
            if weight.grad is not None and weight.grad.is_sparse:
                raise OptimizerError(
                    f"evolved optimizers need dense gradients, got a sparse one of shape "
                    f"{tuple(weight.shape)}: build the embedding with sparse=False"
                )
