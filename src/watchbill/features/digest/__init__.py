"""The daily digest: what a team should know in the morning, and nothing on a quiet day."""

from watchbill.features.digest.actions import keep_rows
from watchbill.features.digest.duties import SendDigest, WriteDigest
from watchbill.features.digest.logic import compose, next_digest_at
from watchbill.features.digest.model import Budget, Digest, Gap, OpenIncident, Text, Ticket

__all__ = [
    "Budget",
    "Digest",
    "Gap",
    "OpenIncident",
    "SendDigest",
    "Text",
    "Ticket",
    "WriteDigest",
    "compose",
    "keep_rows",
    "next_digest_at",
]
