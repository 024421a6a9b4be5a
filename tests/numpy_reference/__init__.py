"""A slow, plain evaluation of the search space of Morgan & Hougen (arXiv 2404.06679).

NumPy and SciPy's special functions only, and nothing of evoptim: it follows the formulas line by
line so that the two can disagree. Graphs are plain dicts as they stand in JSON::

    {"root": 25, "nodes": [{"index", "kind", "op_index" | "op", "inputs", "decay"}, ...]}
    decay: None or {"hidden": None | {...}, "root": {"kind", "op_index" | "op", "inputs"}}

Operand nodes (index 0..19) need only their index. `published=True` reproduces the authors' program
where it divides by zero (`expMovAvg`); the default is what that operator is meant to compute.
"""

from .decays import decay_curve, decay_primitives
from .operands import OPERANDS, MovingAverages
from .operators import (
    BINARY,
    DECAY_BINARY,
    DECAY_UNARY,
    DROP_PROBABILITY,
    UNARY,
    NodeState,
    StochasticOperatorError,
    code_of,
)
from .schedules import learning_rates, momenta
from .sphere import (
    RATES,
    START,
    TARGET,
    THRESHOLD,
    Trial,
    Verdict,
    integrity,
    sphere_loss,
    sphere_losses,
)
from .update import TensorUpdate, active_nodes, trajectory
from .zoo import zoo_trajectory

__all__ = [
    "BINARY",
    "DECAY_BINARY",
    "DECAY_UNARY",
    "DROP_PROBABILITY",
    "OPERANDS",
    "RATES",
    "START",
    "TARGET",
    "THRESHOLD",
    "UNARY",
    "MovingAverages",
    "NodeState",
    "StochasticOperatorError",
    "TensorUpdate",
    "Trial",
    "Verdict",
    "active_nodes",
    "code_of",
    "decay_curve",
    "decay_primitives",
    "integrity",
    "learning_rates",
    "momenta",
    "sphere_loss",
    "sphere_losses",
    "trajectory",
    "zoo_trajectory",
]
