"""What a page says: short enough for a phone at night, with the three things to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from watchbill.features.alerts import Alert
from watchbill.features.incidents import Incident
from watchbill.features.paging.model import Notification, Page
from watchbill.kernel.clock import format_instant
from watchbill.runtime.messages import Message


class Evidence(NamedTuple):
    """A line that helps, and a link that acts on it (empty: there is nothing to do about it from here).

    ``reply`` is the word that does the same by a text message.
    """

    text: str
    label: str = ""
    url: str = ""
    reply: str = ""


def compose(
    *,
    notification: Notification,
    page: Page,
    incident: Incident,
    alerts: Sequence[Alert],
    team_name: str,
    person_name: str,
    acknowledge_url: str,
    incident_url: str,
    evidence: Sequence[Evidence] = (),
) -> Message:
    """The message of one notification. Every try of it carries the same idempotency key."""
    firing = [alert for alert in alerts if alert.state in ("firing", "stale")]
    leading = firing or list(alerts)
    again = f" (asked again: {page.reason})" if page.epoch > 1 else ""
    lines = [
        f"{incident.title}{again}",
        "",
        f"Incident {incident.number} · {incident.severity} · {incident.phase} · team {team_name}",
        f"Open since {format_instant(incident.opened_at.replace(microsecond=0))}",
    ]
    if page.reason and page.epoch == 1:
        lines.append(f"Why you: {page.reason}, step {notification.step + 1}")
    for found in evidence:
        lines += ["", found.text, *([f"  {found.label}: {found.url}"] if found.url else [])]
    for alert in leading[:5]:
        lines += ["", f"• {alert.title}"]
        if alert.description:
            lines.append(f"  {alert.description}")
        lines += [f"  {link.title}: {link.url}" for link in alert.links[:4]]
    if len(leading) > 5:
        lines += ["", f"… and {len(leading) - 5} more alerts"]
    lines += ["", f"Acknowledge: {acknowledge_url}", f"Incident:    {incident_url}"]
    return Message(
        channel=notification.channel,
        address=notification.address,
        subject=f"[{incident.severity}] {incident.title} · incident {incident.number}",
        text="\n".join(lines) + "\n",
        acknowledge_url=acknowledge_url,
        acknowledge_label="Acknowledge" if notification.person_id else "Open",
        incident_url=incident_url,
        idempotency_key=f"{notification.id}",
        reference=f"{notification.id}",
        short=_short(incident, acknowledge_url, evidence),
        spoken=_spoken(incident, team_name),
        payload={
            "type": "page",
            "notification_id": str(notification.id),
            "page_id": str(page.id),
            "epoch": page.epoch,
            "step": notification.step,
            "team": team_name,
            "person": person_name,
            "incident": {
                "number": incident.number,
                "title": incident.title,
                "severity": incident.severity,
                "phase": incident.phase,
                "opened_at": format_instant(incident.opened_at),
                "url": incident_url,
            },
            "alerts": [{"title": alert.title, "labels": alert.labels} for alert in leading[:20]],
            "evidence": [found._asdict() for found in evidence],
            "acknowledge_url": acknowledge_url,
        },
    )


def _short(incident: Incident, acknowledge_url: str, evidence: Sequence[Evidence]) -> str:
    """For a text message: the title is cut so that the whole is one or two segments beside the link."""
    title = incident.title if len(incident.title) <= 90 else incident.title[:89] + "…"
    act = next(
        (f" {found.label[:50]}: reply '{found.reply} {incident.number}'." for found in evidence if found.reply), ""
    )
    return f"[{incident.severity}] {title}.{act} Reply 'ack {incident.number}' or {acknowledge_url}"


def _spoken(incident: Incident, team_name: str) -> str:
    severity = incident.severity.removeprefix("sev")
    return f"Page for team {team_name}. Severity {severity}. {incident.title[:200]}. Incident {incident.number}."


def bundle(messages: Sequence[Message], *, incidents: Sequence[Incident]) -> Message:
    """One message that lists all; a single one is itself. The first gives it address and idempotency key."""
    first = messages[0]
    if len(messages) == 1:
        return first
    worst = min(incident.severity for incident in incidents)
    count = len(messages)
    lines = [f"{count} pages came within a minute:", ""]
    for message, incident in zip(messages, incidents, strict=True):
        lines += [f"• {message.subject}", f"  {message.acknowledge_label}: {message.acknowledge_url}"]
        lines.append(f"  Incident {incident.number}: {message.incident_url}")
    numbers = ", ".join(str(incident.number) for incident in incidents[:8]) + (" …" if count > 8 else "")
    return msgspec.structs.replace(
        first,
        subject=f"[{worst}] {count} pages: {incidents[0].title} · and {count - 1} more",
        text="\n".join(lines) + "\n",
        short=f"[{worst}] {count} pages, incidents {numbers}. Reply 'ack all' or {first.incident_url}",
        spoken=f"{count} pages. The first: {first.spoken}",
        payload={**first.payload, "type": "pages", "pages": [dict(message.payload) for message in messages]},
    )
