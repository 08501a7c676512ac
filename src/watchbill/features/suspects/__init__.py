"""Suspects: which change caused an incident, and whether a version is worse than the one before it."""

from watchbill.features.suspects.duties import RANK, ROLL_BACK, RankSuspects, advise
from watchbill.features.suspects.logic import line_of, rank, title_of
from watchbill.features.suspects.looking import Asks
from watchbill.features.suspects.measuring import Measurement
from watchbill.features.suspects.measuring import judge as judge_measured
from watchbill.features.suspects.measuring import question as question_of
from watchbill.features.suspects.model import (
    Candidate,
    Comparison,
    Evidence,
    Measure,
    Point,
    Ranking,
    Suspect,
    Verdict,
)
from watchbill.features.suspects.reads import measurement_of
from watchbill.features.suspects.rollouts import judge_rollouts, young_rollouts
from watchbill.features.suspects.store import StoredVerdict, insert_verdict, read_ranking, verdicts_of
from watchbill.features.suspects.verdict import Gate, judge_before_after, judge_samples, judge_versions

__all__ = [
    "RANK",
    "ROLL_BACK",
    "Asks",
    "Candidate",
    "Comparison",
    "Evidence",
    "Gate",
    "Measure",
    "Measurement",
    "Point",
    "RankSuspects",
    "Ranking",
    "StoredVerdict",
    "Suspect",
    "Verdict",
    "advise",
    "insert_verdict",
    "judge_before_after",
    "judge_measured",
    "judge_rollouts",
    "judge_samples",
    "judge_versions",
    "line_of",
    "measurement_of",
    "question_of",
    "rank",
    "read_ranking",
    "title_of",
    "verdicts_of",
    "young_rollouts",
]
