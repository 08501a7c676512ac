"""What services tell about their protections: `reliability.evidence` of docs/reference/reliability-contract.md.

Whatever emits it reads the same: an SDK's gauge, a sum (an UpDownCounter, where a language has no gauge), and the
Prometheus spelling that a Collector's scrape brings (``reliability_evidence_seconds``, ``reliability_dependency``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from watchbill.features.telemetry.counts import ENVIRONMENT
from watchbill.features.telemetry.engine import Engine

NAMES = ("reliability.evidence", "reliability_evidence", "reliability_evidence_seconds")
AHEAD = timedelta(days=1)
"""A sender's clock may be this far ahead; beyond it, the value is no Unix time in seconds."""
MOST = 200_000


class SeenEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One protection of one dependency as last told, within the time looked at.

    ``used_at`` is None when it was never used; ``senseless`` when a value was no Unix time in seconds (negative, not
    a number, milliseconds).
    """

    service_name: str
    environment: str
    dependency: str
    primitive: str
    setting: str
    used_at: datetime | None
    reported_at: datetime
    senseless: bool = False


def _attribute(name: str) -> str:
    return f"coalesce(nullIf(Attributes['reliability.{name}'], ''), Attributes['reliability_{name}'])"


_LISTED = ", ".join(f"'{name}'" for name in NAMES)
# Bit 0 of the flags: "no recorded value", which is how a Collector says that a scraped series has ended.
_POINTS = " UNION ALL ".join(
    f"""SELECT ServiceName, {ENVIRONMENT} AS environment, {_attribute("dependency")} AS dependency,
        {_attribute("primitive")} AS primitive, {_attribute("setting")} AS setting, Value, TimeUnix
    FROM {table}
    WHERE MetricName IN ({_LISTED}) AND bitAnd(Flags, 1) = 0
        AND TimeUnix >= toDateTime64({{from:Float64}}, 6, 'UTC')
        AND TimeUnix < toDateTime64({{to:Float64}}, 6, 'UTC')"""
    for table in ("otel_metrics_gauge", "otel_metrics_sum")
)
_SEEN = f"""SELECT ServiceName, environment, dependency, primitive, setting,
    maxIf(Value, Value >= 0 AND Value <= {{latest:Float64}}),
    countIf(NOT (Value >= 0 AND Value <= {{latest:Float64}})), toUnixTimestamp(max(TimeUnix))
FROM ({_POINTS})
GROUP BY ServiceName, environment, dependency, primitive, setting
ORDER BY 1, 2, 3, 4, 5 LIMIT {MOST}"""


def evidence_seen(engine: Engine, *, start_at: datetime, end_at: datetime) -> list[SeenEvidence]:
    """Every line of evidence that was told in [start_at, end_at), the instances of a service taken together."""
    rows = engine.rows(
        _SEEN,
        {
            "from": start_at.timestamp(),
            "to": (end_at + AHEAD).timestamp(),
            "latest": (end_at + AHEAD).timestamp(),
        },
    )
    return [
        SeenEvidence(
            service_name=service,
            environment=environment,
            dependency=dependency,
            primitive=primitive,
            setting=setting,
            used_at=min(datetime.fromtimestamp(used, UTC), end_at) if used > 0 else None,
            reported_at=min(datetime.fromtimestamp(reported, UTC), end_at),
            senseless=bool(senseless),
        )
        for service, environment, dependency, primitive, setting, used, senseless, reported in rows
    ]
