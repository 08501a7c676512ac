"""Changes: deploys, flags, configuration and schema; who made them, what became of them, what they cost."""

from watchbill.features.changes.actions import (
    adopt_changes,
    finish_change,
    mark_rolled_back,
    record_change,
    start_change,
)
from watchbill.features.changes.blame import ChangeSpend, dependency_outages, spends
from watchbill.features.changes.dora import Dora, Lockstep, Measure
from watchbill.features.changes.inferring import LOOK_BACK, infer_deploys
from watchbill.features.changes.model import (
    KINDS,
    STATES,
    Change,
    ChangeKind,
    ChangeReport,
    ChangeState,
    Recorded,
    Reversible,
)
from watchbill.features.changes.reads import change, changes_between, dora_of, latest_good_version, lockstep_of
from watchbill.features.changes.spend import Spent, exempt_bad, spent_by_change, union
from watchbill.features.changes.store import newest as newest_changes

__all__ = [
    "KINDS",
    "LOOK_BACK",
    "STATES",
    "Change",
    "ChangeKind",
    "ChangeReport",
    "ChangeSpend",
    "ChangeState",
    "Dora",
    "Lockstep",
    "Measure",
    "Recorded",
    "Reversible",
    "Spent",
    "adopt_changes",
    "change",
    "changes_between",
    "dependency_outages",
    "dora_of",
    "exempt_bad",
    "finish_change",
    "infer_deploys",
    "latest_good_version",
    "lockstep_of",
    "mark_rolled_back",
    "newest_changes",
    "record_change",
    "spends",
    "spent_by_change",
    "start_change",
    "union",
]
