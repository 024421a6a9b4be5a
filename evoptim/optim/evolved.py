"""Any genome as a ``torch.optim.Optimizer``."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from evoptim.errors import EvoptimError, InputError
from evoptim.genome import Genome
from evoptim.schedule import learning_rate_factor, momentum_factor
from evoptim.update import Uniform, compile_genome, move, update_direction


class OptimizerError(EvoptimError, RuntimeError):
    """A step that cannot be taken."""


class EvolvedOptimizer(Optimizer):
    r"""Trains with the update rule that a genome describes.

    At step t of T, with rate :math:`\eta_t` and coefficient :math:`\mu_t` from the base schedule
    (:mod:`evoptim.schedule`: linear warm-up, hold, half a cosine down to 0):

    .. math::
        u_t = \text{update graph}(g_t, w_t, \hat v_t, \ldots), \qquad d_t = -\text{sign} \cdot u_t

    ========== =================================================================================
    momentum   movement
    ========== =================================================================================
    none       :math:`w \leftarrow w + \eta_t d_t`
    heavy-ball :math:`m \leftarrow \mu_t m + \eta_t d_t;\ w \leftarrow w + m`
    nesterov   :math:`m \leftarrow \mu_t m + \eta_t d_t;\ w \leftarrow w + m + \eta_t d_t`
    ========== =================================================================================

    Source: Morgan & Hougen, arXiv 2404.06679.

    Args:
        params: Tensors to optimize, or dicts that define parameter groups.
        genome: The update rule, as a value or as text (``"None ~ id(v hat)"``).
        lr: Peak learning rate, at least 0. Rates near 1 are common among evolved rules.
        total_steps: T, the number of steps that the schedule and the decays span.
        warmup_steps: Steps of linear warm-up. The first of them has rate 0.
        hold_steps: Steps at the peak rate between warm-up and cosine.
        seed: Seed of the dropout masks; of no effect on genomes without dropout.

    State for every weight tensor: the tensors of :meth:`evoptim.genome.Genome.state_slots`, each
    of the weight's shape and type, and the number of gradients seen.

    Raises:
        InputError: an argument is out of range, or the genome is no genome.

    Example:
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = EvolvedOptimizer(
        ...     model.parameters(), "Nest ~ id(arcsinh(v hat))", lr=0.1, total_steps=100
        ... )
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(8, 4)).square().mean().backward()
        ...     optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        genome: Genome | str,
        *,
        lr: float,
        total_steps: int,
        warmup_steps: int = 0,
        hold_steps: int = 0,
        seed: int = 0,
    ) -> None:
        self.genome = Genome.parse(genome) if isinstance(genome, str) else genome
        self._prepare()
        defaults = {
            "lr": lr,
            "total_steps": total_steps,
            "warmup_steps": warmup_steps,
            "hold_steps": hold_steps,
            "seed": seed,
            "step": 0,
            "genome": self.genome.id,
        }
        super().__init__(params, defaults)

    def _prepare(self) -> None:
        self._program = compile_genome(self.genome)
        self._decays: dict[int, tuple[tuple[float, ...], ...]] = {}

    # torch's own copy and pickle support carries groups and state only.
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "genome": self.genome}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; what it does not set comes from the constructor's arguments.

        Raises:
            InputError: an argument of the group is out of range.
        """
        _check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken, bit for bit.

        Raises:
            InputError: the state is that of another genome.
        """
        for group in state_dict["param_groups"]:
            if group.get("genome", self.genome.id) != self.genome.id:
                raise InputError(
                    f"the state_dict is that of genome {group['genome']}, this optimizer runs "
                    f"{self.genome.id}: build it from the same genome"
                )
        # torch would keep the very tensors, and two optimizers would then change the same ones.
        super().load_state_dict(copy.deepcopy(state_dict))

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
            OptimizerError: the schedule has ended, or a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        tensors = [(group, weight) for group in self.param_groups for weight in group["params"]]
        _check_step(self.param_groups, [weight.grad for _, weight in tensors])
        for index, (group, weight) in enumerate(tensors):
            if weight.grad is not None:
                self._move(group, weight, weight.grad, index)
        for group in self.param_groups:
            group["step"] += 1
        return loss

    def _move(self, group: dict[str, Any], weight: Tensor, gradient: Tensor, index: int) -> None:
        step, total_steps = group["step"], group["total_steps"]
        schedule = (step, total_steps, group["warmup_steps"], group["hold_steps"])
        state = self.state[weight]
        state["count"] = count = state.get("count", 0) + 1
        if total_steps not in self._decays:
            self._decays[total_steps] = self._program.decay_values(total_steps)
        update = update_direction(
            self._program,
            gradient,
            weight,
            state,
            count,
            self._decays[total_steps][step],
            tuple(range(weight.ndim)),
            _uniform(group["seed"], step, index),
        )
        rate = float(group["lr"]) * learning_rate_factor(*schedule)
        signed = -self._program.sign * rate
        move(self._program.momentum, weight, update, signed, momentum_factor(*schedule), state)


def _check_group(group: dict[str, Any]) -> None:
    lr = group["lr"]
    if not (isinstance(lr, int | float | Tensor) and math.isfinite(lr) and lr >= 0):
        raise InputError(f"lr is a finite rate of at least 0, got {lr!r}")
    for name, least in (("total_steps", 1), ("warmup_steps", 0), ("hold_steps", 0), ("seed", 0)):
        value = group[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} is a whole number of at least {least}, got {value!r}")
    if group["warmup_steps"] + group["hold_steps"] >= group["total_steps"]:
        raise InputError(
            f"warmup_steps + hold_steps must stay below total_steps, got {group['warmup_steps']} "
            f"+ {group['hold_steps']} >= {group['total_steps']}"
        )


# Checked before any weight moves, so that a refused step leaves everything as it was.
def _check_step(groups: list[dict[str, Any]], gradients: list[Tensor | None]) -> None:
    for group in groups:
        if group["step"] >= group["total_steps"]:
            raise OptimizerError(
                f"the schedule spans total_steps={group['total_steps']} steps and all are taken: "
                "build the optimizer with more, or stop training"
            )
    if any(gradient is not None and gradient.is_sparse for gradient in gradients):
        raise OptimizerError(
            "evolved optimizers need dense gradients, got a sparse one: "
            "build the embedding with sparse=False"
        )


def _uniform(seed: int, step: int, index: int) -> Uniform:
    """Masks addressed by (seed, step, tensor, node), so that a resumed run draws the same ones."""

    def draw(node: int, like: Tensor) -> Tensor:
        address = ((seed * 1_000_003 + step) * 1_000_003 + index) * 8 + node
        generator = torch.Generator(like.device).manual_seed(address % 2**63)
        return torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)

    return draw
