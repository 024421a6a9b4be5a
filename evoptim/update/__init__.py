"""What a genome computes: compilation to a program, and its interpreter."""

from evoptim.update.interpreter import Uniform, move, update_direction
from evoptim.update.program import Instruction, Program, compile_genome

__all__ = ["Instruction", "Program", "Uniform", "compile_genome", "move", "update_direction"]
