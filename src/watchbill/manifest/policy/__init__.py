"""Policy as tested code: manifests rehearsed on a virtual clock, by the pager's own decisions."""

from watchbill.manifest.policy.cases import PolicyTest, is_policy_tests, read_tests
from watchbill.manifest.policy.gate import proposed_gate
from watchbill.manifest.policy.replay import PageDifference, PersonTotal, Replay, replay
from watchbill.manifest.policy.tests import Told, Verdict, run_test
from watchbill.manifest.policy.world import Rehearsal

__all__ = [
    "PageDifference",
    "PersonTotal",
    "PolicyTest",
    "Rehearsal",
    "Replay",
    "Told",
    "Verdict",
    "is_policy_tests",
    "proposed_gate",
    "read_tests",
    "replay",
    "run_test",
]
