"""What a genome computes: program, reference interpreter, and the rule that everything runs."""

from evoptim.update.foreach import Interpreter, ListUniform, Number
from evoptim.update.formula import Formula, decay, genome_formula
from evoptim.update.interpreter import (
    NodeSite,
    Uniform,
    average,
    combine,
    move,
    update_direction,
)
from evoptim.update.program import Instruction, Program, compile_genome
from evoptim.update.rule import Curve, Operation, Rule, Scalar
from evoptim.update.trace import Options, Tensors

__all__ = [
    "Curve",
    "Formula",
    "Instruction",
    "Interpreter",
    "ListUniform",
    "NodeSite",
    "Number",
    "Operation",
    "Options",
    "Program",
    "Rule",
    "Scalar",
    "Tensors",
    "Uniform",
    "average",
    "combine",
    "compile_genome",
    "decay",
    "genome_formula",
    "move",
    "update_direction",
]
