"""What a run's records say: pure functions, no file, clock or randomness."""

from evoptim.analysis.archive import build_archive, champion, finals_held, leaders
from evoptim.analysis.curves import GenerationPoint, generation_curve
from evoptim.analysis.finals import Comparison, Finals, build_finals
from evoptim.analysis.flops import step_flops
from evoptim.analysis.ledger import Ledger, OutcomeSpent, ScreenSpent, Spent, account
from evoptim.analysis.lineage import Step, champion_lineage
from evoptim.analysis.noise import Interval, mean_interval, standard_error
from evoptim.analysis.outcomes import (
    GenerationOutcomes,
    OutcomeCount,
    count_outcomes,
    outcomes_by_generation,
)
from evoptim.analysis.paired import Difference, holm, least_p_value, paired_difference, rank_ranges
from evoptim.analysis.result import BASELINE_NAMES, Finalist, Result, name_of
from evoptim.analysis.stage import Scored, StageResult
from evoptim.analysis.summary import LEADERS, Images, Summary, summarise
from evoptim.analysis.verdict import Verdict, judge

__all__ = [
    "BASELINE_NAMES",
    "LEADERS",
    "Comparison",
    "Difference",
    "Finalist",
    "Finals",
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
    "StageResult",
    "Step",
    "Summary",
    "Verdict",
    "account",
    "build_archive",
    "build_finals",
    "champion",
    "champion_lineage",
    "count_outcomes",
    "finals_held",
    "generation_curve",
    "holm",
    "judge",
    "leaders",
    "least_p_value",
    "mean_interval",
    "name_of",
    "outcomes_by_generation",
    "paired_difference",
    "rank_ranges",
    "standard_error",
    "step_flops",
    "summarise",
]
