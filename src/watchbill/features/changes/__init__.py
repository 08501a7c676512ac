"""Changes: deploys, flags, configuration and schema; who made them, what became of them, what they cost."""

from watchbill.features.changes.actions import finish_change, mark_rolled_back, record_change, start_change
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
from watchbill.features.changes.reads import change, changes_between, latest_good_version
from watchbill.features.changes.store import adopt as adopt_changes
from watchbill.features.changes.store import newest as newest_changes

__all__ = [
    "KINDS",
    "STATES",
    "Change",
    "ChangeKind",
    "ChangeReport",
    "ChangeState",
    "Recorded",
    "Reversible",
    "adopt_changes",
    "change",
    "changes_between",
    "finish_change",
    "latest_good_version",
    "mark_rolled_back",
    "newest_changes",
    "record_change",
    "start_change",
]
