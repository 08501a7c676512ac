"""What a ticket says: pure. Text from outside is carried as data; each tracker quotes it in its own markup."""

from __future__ import annotations

from uuid import UUID

from watchbill.features.alerts import Alert
from watchbill.features.tickets.model import Draft, Ticket

_TITLE = 200
"""GitHub and GitLab take 256 characters, Jira 255."""
_DESCRIPTION = 4000


def marker_of(id: UUID) -> str:
    """What the ticket carries, so that it is found again; a word for any search."""
    return f"watchbill-ticket-{id.hex}"


def title_of(alert: Alert) -> str:
    """One line."""
    line = " ".join(alert.title.split()) or alert.identity
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"


def draft(alert: Alert, *, team: str, service: str | None, base_url: str, marker: str, before: Ticket | None) -> Draft:
    """The ticket of an alert. ``before`` is an earlier one of the same identity that is left alone."""
    about = [
        f"Service: {service or alert.service_name or 'none known'}",
        *([f"Operation: {alert.operation}"] if alert.operation else []),
        f"Severity: {alert.severity}",
        *([f"Environment: {alert.environment}"] if alert.environment != "production" else []),
        f"Since: {alert.started_at:%Y-%m-%d %H:%M} UTC",
    ]
    links = [(link.title or "Source", link.url) for link in alert.links]
    links.append((f"Team {team} in Watchbill", f"{base_url}/teams/{team}#tickets"))
    if before is not None and before.url:
        links.append(("The ticket before this one", before.url))
    return Draft(
        title=title_of(alert),
        intro="\n".join(about),
        description=alert.description.strip()[:_DESCRIPTION],
        links=tuple(dict.fromkeys(links)),
        marker=marker,
    )


def plain(draft: Draft) -> str:
    """The ticket as a chat message."""
    parts = [draft.intro, draft.description, "\n".join(f"{title}: {url}" for title, url in draft.links)]
    return "\n\n".join(part for part in parts if part)


def cannot(ticket: Ticket, *, why: str, base_url: str, team: str) -> tuple[str, str]:
    """(subject, text) for the team when its ticket cannot be made or changed."""
    what = "cannot be made" if ticket.ref is None else f"({ticket.url or ticket.ref}) cannot be changed"
    subject = f"[ticket] {ticket.title}"
    text = (
        f"The ticket of this alert in {ticket.place.shown} {what}: {why}\n\n"
        f"{ticket.title}\n\nIt is tried again every hour. Where tickets go and how they are: "
        f"{base_url}/teams/{team}#tickets\nTo check the setting: watchbill tickets test {team}\n"
    )
    return subject, text
