"""The canonical form of a genome, and the content id that is computed from it.

Rules, each of which leaves the computed weights unchanged to the last bit:

1. Nodes that the root does not reach and decay nodes that are not used are dropped.
2. Equal sub-expressions are one node. (They share one evaluation, dropout mask included.)
3. An identity disappears where its own decay and that of the edge that reads it fit on one edge.
4. A double negation disappears where at most one decay scales it inside.
5. The inputs of commutative operators are sorted.
6. A negation at the root, or one that the root's identity passes on, becomes a change of sign.
7. The softsign of the bare operand 1 is written 1/(1+|1|), as its text is read.
8. Hidden nodes are numbered in order of evaluation, from the root's first input on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from evoptim.decay import Decay
from evoptim.genome.document import to_json
from evoptim.genome.graph import Edge, Genome, Node, Source
from evoptim.operators import BINARY


@dataclass(frozen=True)
class _Tree:
    """A node with its inputs written out; equality is equality of sub-expressions."""

    operator: str
    inputs: tuple[_Branch, ...]


@dataclass(frozen=True)
class _Branch:
    decay: Decay | None
    of: str | _Tree


def canonical(genome: Genome) -> Genome:
    """See the module's rules."""
    known: dict[int, _Tree] = {}

    def tree(node: Node) -> _Tree:
        branches = tuple(_simplify(branch(edge)) for edge in node.edges)
        if node.operator in BINARY and BINARY[node.operator].commutative:
            branches = tuple(sorted(branches, key=_key))
        if node.operator == "softsign" and branches == (_Branch(None, "1"),):
            return _Tree("inv_one_plus_abs", branches)
        return _Tree(node.operator, branches)

    def branch(edge: Edge) -> _Branch:
        decay = None if edge.decay is None else edge.decay.canonical()
        return _Branch(decay, edge.source if isinstance(edge.source, str) else known[edge.source])

    for index in genome.order:
        known[index] = tree(genome.hidden[index])
    root, sign = _simplify_root(tree(genome.root), genome.sign)
    return _number(root, genome, sign)


def _simplify(branch: _Branch) -> _Branch:
    """Rules 3 and 4 at one edge whose source is simplified already."""
    while isinstance(branch.of, _Tree):
        beyond = _skip(branch.of)
        if beyond is None:
            break
        if branch.decay is not None and beyond.decay is not None:
            # Two factors do not fit on one edge; an identity is what carries the second.
            return _Branch(branch.decay, _Tree("identity", (beyond,)))
        branch = _Branch(branch.decay or beyond.decay, beyond.of)
    return branch


def _skip(tree: _Tree) -> _Branch | None:
    """The input that ``tree`` passes on unchanged but for one decay; None if it does more."""
    outer = tree.inputs[0]
    if tree.operator == "identity":
        return outer
    if tree.operator == "neg" and isinstance(outer.of, _Tree) and outer.of.operator == "neg":
        inner = outer.of.inputs[0]
        # With two decays the rewritten graph could need one node more than a genome may have.
        if outer.decay is None or inner.decay is None:
            return _Branch(outer.decay or inner.decay, inner.of)
    return None


def _simplify_root(root: _Tree, sign: int) -> tuple[_Tree, int]:
    while root.operator in ("identity", "neg"):
        inner = root.inputs[0]
        if root.operator == "neg":
            root, sign = _Tree("identity", (_simplify(inner),)), -sign
        elif inner.decay is None and isinstance(inner.of, _Tree):
            root = inner.of
        elif isinstance(inner.of, _Tree) and inner.of.operator == "neg":
            # Nothing else reads this negation, so an identity in its place adds no node.
            passed = _Branch(inner.decay, _Tree("identity", inner.of.inputs))
            root, sign = _Tree("identity", (_simplify(passed),)), -sign
        else:
            break
    return root, sign


def _number(root: _Tree, genome: Genome, sign: int) -> Genome:
    hidden: dict[_Tree, int] = {}
    nodes: list[Node] = []

    def node(tree: _Tree) -> Node:
        return Node(tree.operator, tuple(Edge(source(each.of), each.decay) for each in tree.inputs))

    def source(of: str | _Tree) -> Source:
        if isinstance(of, str):
            return of
        if of not in hidden:
            made = node(of)
            hidden[of] = len(nodes)
            nodes.append(made)
        return hidden[of]

    top = node(root)
    return Genome(top, tuple(nodes), genome.momentum, sign)


def _key(branch: _Branch) -> str:
    """A total order on branches: their text, operands before operators."""

    def text(of: str | _Tree) -> str:
        if isinstance(of, str):
            return "0" + of
        return "1" + of.operator + "(" + ",".join(_key(each) for each in of.inputs) + ")"

    return text(branch.of) + ("" if branch.decay is None else f"[{branch.decay}]")


def content_id(genome: Genome) -> str:
    """See :attr:`evoptim.genome.Genome.id`."""
    text = json.dumps(to_json(canonical(genome)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
