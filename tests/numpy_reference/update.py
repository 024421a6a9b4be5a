"""The update graph applied to weights, with its momentum and sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .decays import A14, decay_curve
from .operands import OPERANDS, MovingAverages
from .operators import BINARY, Mask, NodeState, code_of
from .schedules import learning_rates, momenta

Array = NDArray[np.floating[Any]]
Graph = Mapping[str, Any]
Node = Mapping[str, Any]
MomentumType = Literal["None", "Mom", "Nest"]


def active_nodes(graph: Graph) -> list[Node]:
    """Nodes reachable from the root, inputs before users, root last. The graph must be acyclic."""
    nodes = {node["index"]: node for node in graph["nodes"]}
    ordered: dict[int, Node] = {}

    def visit(index: int) -> None:
        if index not in ordered:
            node = nodes.get(index, {"index": index, "kind": "operand"})
            for source in node.get("inputs", ()):
                visit(source)
            ordered[index] = node

    visit(graph["root"])
    return list(ordered.values())


class TensorUpdate:
    """One search-space optimizer bound to one weight tensor, with all the state that tensor has."""

    def __init__(
        self,
        graph: Graph,
        momentum_type: MomentumType,
        *,
        flip: bool,
        learning_rate: float,
        total_steps: int,
        warmup: int,
        hold: int = 0,
        dtype: DTypeLike = np.float32,
        published: bool = False,
        a14: A14 = "narrow",
        mask: Mask | None = None,
    ) -> None:
        if momentum_type not in ("None", "Mom", "Nest"):
            raise ValueError(
                f"momentum type is None, Mom or Nest (a string), got {momentum_type!r}"
            )
        self.dtype = np.dtype(dtype)
        self.nodes = active_nodes(graph)
        self.root = graph["root"]
        self.momentum_type = momentum_type
        self.flip = flip
        self.published = published
        self.mask = mask
        self.rates = learning_rates(learning_rate, total_steps, warmup, hold).astype(dtype)
        self.momenta = momenta(total_steps, warmup, hold).astype(dtype)
        self.codes = {n["index"]: code_of(n) for n in self.nodes if n["kind"] != "operand"}
        self.decays = {
            (node["index"], slot): _narrow(decay_curve(decay, total_steps, a14), self.dtype)
            for node in self.nodes
            for slot, decay in enumerate(node.get("decay", ()))
            if decay is not None
        }
        self.states = {index: NodeState() for index in self.codes}
        self.averages = MovingAverages()
        self.m: Any = 0.0
        self.t = 0

    def direction(self, gradient: Array, weights: Array) -> Array:
        """u, the value of the root at the present step. Advances averages and memories."""
        self.averages.update(gradient)
        values: dict[int, Array] = {}
        for node in self.nodes:
            index = node["index"]
            if node["kind"] == "operand":
                values[index] = OPERANDS[index][1](gradient, weights, self.averages)
                continue
            inputs = [
                values[source] * self.decays[index, slot][self.t]
                if (index, slot) in self.decays
                else values[source]
                for slot, source in enumerate(node["inputs"])
            ]
            if node["kind"] == "unary":
                values[index] = self.states[index].apply(
                    self.codes[index], inputs[0], published=self.published, mask=self.mask
                )
            else:
                values[index] = BINARY[self.codes[index]][1](inputs[0], inputs[1])
        return values[self.root]

    def step(self, gradient: ArrayLike, weights: ArrayLike) -> Array:
        """The weights after one update."""
        g, w = np.asarray(gradient, self.dtype), np.asarray(weights, self.dtype)
        with np.errstate(all="ignore"):
            u = self.direction(g, w)
            move = self.rates[self.t] * (u if self.flip else -u)
            if self.momentum_type != "None":
                self.m = self.momenta[self.t] * self.m + move
            self.t += 1
            moved: Array = w + (move if self.momentum_type == "None" else self.m)
            return moved + move if self.momentum_type == "Nest" else moved


def trajectory(
    graph: Graph,
    momentum_type: MomentumType,
    flip: bool,
    lr: float,
    total_steps: int,
    warmup: int,
    hold: int,
    gradients: Mapping[str, ArrayLike],
    weights0: Mapping[str, ArrayLike],
    *,
    dtype: DTypeLike = np.float32,
    **options: Any,
) -> dict[str, Array]:
    """Weights after each step, per tensor [steps, ...], under given gradients [steps, ...].

    `options` are those of TensorUpdate: published, a14, mask.
    """
    result = {}
    for name, start in weights0.items():
        update = TensorUpdate(
            graph,
            momentum_type,
            flip=flip,
            learning_rate=lr,
            total_steps=total_steps,
            warmup=warmup,
            hold=hold,
            dtype=dtype,
            **options,
        )
        w = np.asarray(start, dtype)
        path = []
        for g in np.asarray(gradients[name], dtype):
            w = update.step(g, w)
            path.append(w)
        result[name] = np.stack(path)
    return result


def _narrow(values: Array, dtype: np.dtype[Any]) -> Array:
    # A decay quotient may leave the float32 range: infinity is then the value, not a warning.
    with np.errstate(over="ignore"):
        return values.astype(dtype)
