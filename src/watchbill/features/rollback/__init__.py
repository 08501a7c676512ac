"""Rollback: undoing a bad change on a runner of the team, by the team's rules."""

from watchbill.features.rollback.actions import cancel, consider, decide, press, run_by_number, set_switch, start
from watchbill.features.rollback.facts import Undoable, ranking_of, undoable, undone_in_vain
from watchbill.features.rollback.logic import LEASE, RENEW_EVERY, rules_of, words_of_rehearsal
from watchbill.features.rollback.model import (
    BUSY,
    ENDED,
    Decision,
    Mode,
    Rehearsal,
    Rules,
    Run,
    Runner,
    RunState,
    Switch,
    Task,
)
from watchbill.features.rollback.plans import EXECUTORS, SECRET_PATTERN
from watchbill.features.rollback.runners import (
    ALIVE_FOR,
    able_runners,
    authenticate_runner,
    may_register,
    register_runner,
    revoke_runner,
    runner_by_name,
    runners,
)
from watchbill.features.rollback.running import QUEUED, Outcome, breathe, claim, duties, finish
from watchbill.features.rollback.store import last_exercise, read_switch, runs

__all__ = [
    "ALIVE_FOR",
    "BUSY",
    "ENDED",
    "EXECUTORS",
    "LEASE",
    "QUEUED",
    "RENEW_EVERY",
    "SECRET_PATTERN",
    "Decision",
    "Mode",
    "Outcome",
    "Rehearsal",
    "Rules",
    "Run",
    "RunState",
    "Runner",
    "Switch",
    "Task",
    "Undoable",
    "able_runners",
    "authenticate_runner",
    "breathe",
    "cancel",
    "claim",
    "consider",
    "decide",
    "duties",
    "finish",
    "last_exercise",
    "may_register",
    "press",
    "ranking_of",
    "read_switch",
    "register_runner",
    "revoke_runner",
    "rules_of",
    "run_by_number",
    "runner_by_name",
    "runners",
    "runs",
    "set_switch",
    "start",
    "undoable",
    "undone_in_vain",
    "words_of_rehearsal",
]
