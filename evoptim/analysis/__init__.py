"""What a run's records say: pure functions, no file, clock or randomness."""

from evoptim.analysis.archive import build_archive, champion, leaders
from evoptim.analysis.curves import GenerationPoint, generation_curve
from evoptim.analysis.flops import step_flops
from evoptim.analysis.ledger import Ledger, OutcomeSpent, ScreenSpent, Spent, account
from evoptim.analysis.lineage import Step, champion_lineage
from evoptim.analysis.noise import (
    Interval,
    Spread,
    accuracy_interval,
    pooled_spread,
    standard_error,
)
from evoptim.analysis.outcomes import (
    GenerationOutcomes,
    OutcomeCount,
    count_outcomes,
    outcomes_by_generation,
)
from evoptim.analysis.result import BASELINE_NAMES, Result
from evoptim.analysis.stage import Scored, StageResult
from evoptim.analysis.summary import LEADERS, Images, Summary, summarise
from evoptim.analysis.verdict import Verdict, compare

__all__ = [
    "BASELINE_NAMES",
    "LEADERS",
    "GenerationOutcomes",
    "GenerationPoint",
    "Images",
    "Interval",
    "Ledger",
    "OutcomeCount",
    "OutcomeSpent",
    "Result",
    "Scored",
    "ScreenSpent",
    "Spent",
    "Spread",
    "StageResult",
    "Step",
    "Summary",
    "Verdict",
    "account",
    "accuracy_interval",
    "build_archive",
    "champion",
    "champion_lineage",
    "compare",
    "count_outcomes",
    "generation_curve",
    "leaders",
    "outcomes_by_generation",
    "pooled_spread",
    "standard_error",
    "step_flops",
    "summarise",
]
