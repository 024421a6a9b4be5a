"""Genomes as LaTeX, for papers and for the report."""

from __future__ import annotations

from types import MappingProxyType

from evoptim.expression import Template
from evoptim.genome.graph import Edge, Genome, Momentum, Node
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY

_MOVEMENT: MappingProxyType[Momentum, str] = MappingProxyType(
    {
        Momentum.NONE: r"w_{t+1} = w_t SIGN \eta_t u_t",
        Momentum.HEAVY_BALL: r"m_{t+1} = \mu_t m_t SIGN \eta_t u_t,\quad w_{t+1} = w_t + m_{t+1}",
        Momentum.NESTEROV: (
            r"m_{t+1} = \mu_t m_t SIGN \eta_t u_t,\quad w_{t+1} = w_t + m_{t+1} SIGN \eta_t u_t"
        ),
    }
)


def update(genome: Genome) -> str:
    """The right-hand side of the update u."""
    names = {decay: f"d_{{{n}}}(t)" for n, decay in enumerate(genome.decays(), start=1)}

    def edge(of: Edge) -> str:
        source = of.source
        text = OPERANDS[source].latex if isinstance(source, str) else node(genome.hidden[source])
        if of.decay is None:
            return text
        return (
            rf"{names[of.decay]}\, {text}"
            if isinstance(source, str)
            else (rf"{names[of.decay]} \left({text}\right)")
        )

    def node(of: Node) -> str:
        row = UNARY[of.operator] if of.operator in UNARY else BINARY[of.operator]
        return Template.of(row.latex).fill([edge(each) for each in of.edges])

    return node(genome.root)


def movement(genome: Genome) -> str:
    """How the weights follow u."""
    return _MOVEMENT[genome.momentum].replace("SIGN", "-" if genome.sign == 1 else "+")


def decays(genome: Genome) -> tuple[str, ...]:
    """The definitions of d_1, d_2, … over x = t/T."""
    return tuple(
        rf"d_{{{n}}}(t) = {decay.to_latex()}" for n, decay in enumerate(genome.decays(), start=1)
    )


def write(genome: Genome) -> str:
    """See :meth:`evoptim.genome.Genome.to_latex`."""
    return r",\quad ".join([rf"u_t = {update(genome)}", *decays(genome), movement(genome)])
