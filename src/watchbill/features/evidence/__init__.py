"""Evidence: which protections a service has shown for what it calls, when they were last at work, what is missing."""

from watchbill.features.evidence.actions import forget_evidence, record_evidence
from watchbill.features.evidence.logic import REQUIRED, worst
from watchbill.features.evidence.model import (
    Answer,
    Check,
    DependencyEvidence,
    Protection,
    ServiceEvidence,
    State,
)
from watchbill.features.evidence.reads import PRODUCTION, environments_of, evidence_of

LOOK_BACK_DAYS = 7
"""So far an observer that starts looks back; after that it looks at the last quarter of an hour."""

__all__ = [
    "LOOK_BACK_DAYS",
    "PRODUCTION",
    "REQUIRED",
    "Answer",
    "Check",
    "DependencyEvidence",
    "Protection",
    "ServiceEvidence",
    "State",
    "environments_of",
    "evidence_of",
    "forget_evidence",
    "record_evidence",
    "worst",
]
