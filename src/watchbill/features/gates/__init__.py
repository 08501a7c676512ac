"""The gate: may this go out now? Go, no-go or unknown, with the reasons and what would change the answer."""

from watchbill.features.gates.actions import (
    ask_gate,
    look_at_gate,
    note_away,
    override_by_id,
    sign_override,
    withdraw_override,
)
from watchbill.features.gates.logic import decide, default_policy, frozen_until
from watchbill.features.gates.model import Decision, Facts, Freeze, IncidentFact, Override, Policy, Reason, SloFact
from watchbill.features.gates.reads import facts_of, overrides, policy_of
from watchbill.features.gates.replay import Replay, Replayed, replay

__all__ = [
    "Decision",
    "Facts",
    "Freeze",
    "IncidentFact",
    "Override",
    "Policy",
    "Reason",
    "Replay",
    "Replayed",
    "SloFact",
    "ask_gate",
    "decide",
    "default_policy",
    "facts_of",
    "frozen_until",
    "look_at_gate",
    "note_away",
    "override_by_id",
    "overrides",
    "policy_of",
    "replay",
    "sign_override",
    "withdraw_override",
]
