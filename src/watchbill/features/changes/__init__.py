"""Changes: deploys, flags, configuration and schema; who made them, what became of them, what they cost."""

from watchbill.features.changes.actions import (
    adopt_changes,
    amend_change,
    finish_change,
    mark_not_undone,
    mark_rolled_back,
    record_change,
    start_change,
)
from watchbill.features.changes.blame import ChangeSpend, dependency_outages, spends
from watchbill.features.changes.deployment_store import Watched, watches
from watchbill.features.changes.deployment_store import drop_unwatched as drop_unwatched_namespaces
from watchbill.features.changes.deployment_store import release as release_watch
from watchbill.features.changes.deployment_store import take_lease as take_watch
from watchbill.features.changes.deployment_store import write_held as write_watch
from watchbill.features.changes.deployments import (
    Hold,
    end_left_open,
    forget_cluster,
    known_deployments,
    lose_deployment,
    see_deployment,
)
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
from watchbill.features.changes.rollouts import KnownDeployment, MissedRollout, SeenDeployment, Template
from watchbill.features.changes.rollouts import judge as judge_deployment
from watchbill.features.changes.rollouts import missed as missed_revisions
from watchbill.features.changes.sameness import same_version
from watchbill.features.changes.spend import Spent, exempt_bad, spent_by_change, union
from watchbill.features.changes.store import newest as newest_changes
from watchbill.features.changes.watch_health import behind as watch_behind
from watchbill.features.changes.watch_health import problems_of as watch_problems

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
    "Hold",
    "KnownDeployment",
    "Lockstep",
    "Measure",
    "MissedRollout",
    "Recorded",
    "Reversible",
    "SeenDeployment",
    "Spent",
    "Template",
    "Watched",
    "adopt_changes",
    "amend_change",
    "change",
    "changes_between",
    "dependency_outages",
    "dora_of",
    "drop_unwatched_namespaces",
    "end_left_open",
    "exempt_bad",
    "finish_change",
    "forget_cluster",
    "infer_deploys",
    "judge_deployment",
    "known_deployments",
    "latest_good_version",
    "lockstep_of",
    "lose_deployment",
    "mark_not_undone",
    "mark_rolled_back",
    "missed_revisions",
    "newest_changes",
    "record_change",
    "release_watch",
    "same_version",
    "see_deployment",
    "spends",
    "spent_by_change",
    "start_change",
    "take_watch",
    "union",
    "watch_behind",
    "watch_problems",
    "watches",
    "write_watch",
]
