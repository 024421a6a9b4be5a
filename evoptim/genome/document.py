"""Genomes as versioned JSON: the document model, its schema, and the way in and out.

Documents from strangers are data: bounded in size before anything is read, checked field by
field, never evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evoptim.decay import Decay, DecayNode
from evoptim.errors import InputError
from evoptim.genome.graph import MAX_HIDDEN, Edge, Genome, GenomeError, Momentum, Node

FORMAT = "evoptim.genome"
VERSION = 1
MAX_BYTES = 65_536
"""The longest document that is looked at."""

_Name = Annotated[str, Field(max_length=40)]

_ALTERNATIVES = ("constrained-str", "constrained-int")
"""How pydantic names the two kinds of source in the path of an error."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DecayNodeDocument(_Strict):
    """One operator of a decay function; ``h`` names the hidden node."""

    operator: _Name
    inputs: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=2)]


class DecayDocument(_Strict):
    """A decay function."""

    root: DecayNodeDocument
    hidden: DecayNodeDocument | None = None


class EdgeDocument(_Strict):
    """One input: an operand's name or a hidden node's index, perhaps scaled."""

    source: _Name | Annotated[int, Field(ge=0, lt=MAX_HIDDEN)]
    decay: DecayDocument | None = None


class NodeDocument(_Strict):
    """One operator and its inputs."""

    operator: _Name
    inputs: Annotated[tuple[EdgeDocument, ...], Field(min_length=1, max_length=2)]


class GenomeDocument(_Strict):
    """A genome, version 1."""

    format: Literal["evoptim.genome"]
    version: Literal[1]
    momentum: Literal["none", "heavy-ball", "nesterov"]
    sign: Literal[1, -1]
    root: NodeDocument
    hidden: Annotated[tuple[NodeDocument, ...], Field(max_length=MAX_HIDDEN)] = ()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a genome document."""
    return GenomeDocument.model_json_schema()


def to_json(genome: Genome) -> dict[str, Any]:
    """JSON values of ``genome``; only decays and hidden nodes that exist are written."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "momentum": genome.momentum.value,
        "sign": genome.sign,
        "root": _node_json(genome.root),
        "hidden": [_node_json(node) for node in genome.hidden],
    }


def _node_json(node: Node) -> dict[str, Any]:
    return {"operator": node.operator, "inputs": [_edge_json(edge) for edge in node.edges]}


def _edge_json(edge: Edge) -> dict[str, Any]:
    if edge.decay is None:
        return {"source": edge.source}
    nodes = {"root": edge.decay.root} | (
        {} if edge.decay.hidden is None else {"hidden": edge.decay.hidden}
    )
    return {
        "source": edge.source,
        "decay": {
            name: {"operator": node.operator, "inputs": list(node.inputs)}
            for name, node in nodes.items()
        },
    }


def from_json(document: str | bytes | Mapping[str, Any]) -> Genome:
    """See :meth:`evoptim.genome.Genome.from_json`."""
    text = document if isinstance(document, str | bytes) else _text(document)
    if len(text) > MAX_BYTES:
        raise GenomeError(f"a genome document may have {MAX_BYTES} bytes, got {len(text)}")
    try:
        return _build(GenomeDocument.model_validate_json(text))
    except ValidationError as error:
        raise GenomeError(_first_error(error)) from None


def _text(values: object) -> str:
    """JSON values as text, no further than the limit: values that share parts may be endless."""
    pieces: list[str] = []
    size = 0
    try:
        plain = dict(values) if isinstance(values, Mapping) else values
        for piece in json.JSONEncoder().iterencode(plain):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BYTES:
                raise GenomeError(f"a genome document may have {MAX_BYTES} bytes, got more")
    except GenomeError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise GenomeError(f"a genome document holds JSON values only: {error}") from None
    return "".join(pieces)


def _first_error(error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"a genome document is JSON: {first['msg']}"
    path = _path(first["loc"])
    # A source is a name or an index: both rules say what would have been right.
    rules = dict.fromkeys(each["msg"] for each in errors if _path(each["loc"]) == path)
    value = repr(first["input"])
    value = value if len(value) <= 80 else value[:80] + "…"
    return f"genome document: at {path} found {value}: {' or '.join(rules)}"


def _path(parts: Iterable[str | int]) -> str:
    names = (part for part in parts if part not in _ALTERNATIVES)
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names)


def _build(document: GenomeDocument) -> Genome:
    return Genome(
        _node(document.root, "$.root"),
        tuple(_node(node, f"$.hidden[{i}]") for i, node in enumerate(document.hidden)),
        Momentum(document.momentum),
        document.sign,
    )


def _node(document: NodeDocument, path: str) -> Node:
    try:
        return Node(document.operator, tuple(_edge(edge) for edge in document.inputs))
    except InputError as error:
        raise GenomeError(f"genome document: at {path}: {error}") from None


def _edge(document: EdgeDocument) -> Edge:
    if document.decay is None:
        return Edge(document.source)
    hidden = document.decay.hidden
    return Edge(
        document.source,
        Decay(
            DecayNode(document.decay.root.operator, document.decay.root.inputs),
            None if hidden is None else DecayNode(hidden.operator, hidden.inputs),
        ),
    )
