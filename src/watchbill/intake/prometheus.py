"""What Prometheus itself sends: ``POST /api/v2/alerts`` of the Alertmanager API (its ``api/v2/openapi.yaml``).

An array of ``{labels, annotations, startsAt?, endsAt?, generatorURL?}``. A firing alert carries a
*future* ``endsAt`` (now + 4 × max(interval, resend delay)); that is an expiry, not a resolution.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from watchbill.features.alerts import Event, Link, Severity, Urgency, identity_of_labels
from watchbill.kernel.clock import as_utc
from watchbill.kernel.errors import Invalid, Problem

RESOLVE_TIMEOUT = timedelta(minutes=5)
"""Alertmanager's default ``resolve_timeout``: the expiry of an alert that names none."""

_SEVERITIES: dict[str, Severity] = {
    "critical": "critical",
    "page": "critical",
    "fatal": "critical",
    "error": "error",
    "high": "error",
    "warning": "warning",
    "warn": "warning",
    "medium": "warning",
    "info": "info",
    "information": "info",
    "none": "info",
    "low": "info",
}
_TICKET = frozenset({"warning", "info"})


class PostableAlert(msgspec.Struct, rename="camel"):
    """One alert as Prometheus posts it."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str | None = msgspec.field(name="generatorURL", default=None)


class Parsed(msgspec.Struct, frozen=True):
    """The events of the valid alerts, and what is wrong with the others: valid ones are stored all the same."""

    events: list[Event]
    problems: list[Problem]


def parse(body: bytes, *, now: datetime) -> Parsed:
    """Events of a request body; ``now`` fills what the sender left out.

    Raises:
        Invalid: the body is no JSON array.
    """
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise Invalid(
            f"the body is not a JSON array of alerts: {error}",
            code="bad_body",
            hint="send what Prometheus sends to POST /api/v2/alerts",
        ) from error
    events: list[Event] = []
    problems: list[Problem] = []
    for position, item in enumerate(items):
        try:
            alert = msgspec.json.decode(item, type=PostableAlert)
            events.append(to_event(alert, now=now))
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            problems.append(Problem(code="bad_alert", message=str(error), field=f"[{position}]"))
    return Parsed(events, problems)


def to_event(alert: PostableAlert, *, now: datetime) -> Event:
    """Normalise one alert.

    The identity is the label set (Alertmanager's fingerprint is over the same); a label with an empty
    value is the same as none. The service is the label ``service``, else ``service_name``, else ``job``.
    Urgency is the label ``urgency`` where set, else a ticket for severities warning and info.

    Raises:
        ValueError: no label is left.
    """
    labels = {name: value for name, value in alert.labels.items() if value}
    if not labels:
        raise ValueError("an alert needs at least one label with a value")
    starts_at = _instant(alert.starts_at)
    ends_at = _instant(alert.ends_at)
    resolved = ends_at is not None and ends_at <= now
    severity = _SEVERITIES.get(labels.get("severity", "").lower(), "error")
    annotations = {name: value for name, value in alert.annotations.items() if value}
    name = labels.get("alertname", "alert")
    return Event(
        identity=identity_of_labels(labels),
        action="resolve" if resolved else "trigger",
        title=annotations.get("summary") or annotations.get("title") or _title(name, labels),
        description=annotations.get("description") or annotations.get("message") or "",
        severity=severity,
        urgency=_urgency(labels, severity),
        labels=labels,
        annotations=annotations,
        links=_links(alert, annotations),
        environment=labels.get("environment") or labels.get("env") or "production",
        service=labels.get("service") or labels.get("service_name") or labels.get("job"),
        operation=labels.get("operation"),
        occurred_at=(ends_at if resolved else starts_at) or now,
        expires_at=None if resolved else (ends_at or now + RESOLVE_TIMEOUT),
    )


def _instant(value: datetime | None) -> datetime | None:
    """Aware UTC; Go's zero time means "not set"."""
    if value is None or value.year == 1:
        return None
    return as_utc(value)


def _title(name: str, labels: dict[str, str]) -> str:
    where = labels.get("service") or labels.get("job") or labels.get("instance")
    return f"{name} on {where}" if where else name


def _urgency(labels: dict[str, str], severity: Severity) -> Urgency:
    said = labels.get("urgency", "").lower()
    if said == "page":
        return "page"
    if said == "ticket":
        return "ticket"
    return "ticket" if severity in _TICKET else "page"


def _links(alert: PostableAlert, annotations: dict[str, str]) -> list[Link]:
    found: list[Link] = []
    for title, key in (("Runbook", "runbook_url"), ("Dashboard", "dashboard_url"), ("Dashboard", "dashboard")):
        url = annotations.get(key, "")
        if url.startswith(("http://", "https://")):
            found.append(Link(title=title, url=url))
    if alert.generator_url and alert.generator_url.startswith(("http://", "https://")):
        found.append(Link(title="Source", url=alert.generator_url))
    return found
