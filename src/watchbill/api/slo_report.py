"""The report of a period, as JSON or CSV, and badges of SLOs for a README."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from watchbill.api import slo_names
from watchbill.api.given import GivenCaller, GivenDb, GivenSettings, GivenSigner
from watchbill.api.slos import ServiceName, TeamName, service_id_of, team_id_of
from watchbill.api.times import instant_of
from watchbill.features import identity, slo
from watchbill.features.slo import Kept
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx

From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339; a week before `to` when left out.")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; the last full hour when left out.")]
Format = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="json or csv.")]

Selector = Annotated[
    str | None,
    QueryParameter(
        max_length=500, description='How the series of a service are chosen: `service_name="{service}"` when left out.'
    ),
]

BADGE = "slo.badge"
"""What the signature of a badge's address is for."""
_BADGE_FOR = timedelta(days=3650)


class KeptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO over the period; ``spent`` is a share of this period's budget (above 1 the promise was broken).

    Excluded minutes count in none of it; ``spent_without`` is what would be spent if nothing were (null: nothing is).
    """

    id: UUID
    team: str
    service: str
    operation: str
    name: str
    environment: str
    target: str
    bad: int
    total: int
    achieved: Decimal | None
    spent: Decimal | None
    kept: bool | None
    target_changed: bool
    excluded_bad: int = 0
    excluded_total: int = 0
    spent_without: Decimal | None = None
    excluded: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised and kept in [from_at, to_at); the worst first."""

    from_at: datetime
    to_at: datetime
    kept: int
    broken: int
    without_events: int
    slos: list[KeptLine]


class Badge(msgspec.Struct, frozen=True, kw_only=True):
    """Where the badge is. Whoever has the address sees this SLO's state, and nothing else."""

    url: str
    markdown: str


def excluded_of(tx: Tx, lines: Sequence[Kept], start: datetime, end: datetime) -> dict[UUID, str]:
    """Of the lines with exclusions: which, by whom and why."""
    return {
        line.view.slo.id: "; ".join(slo_names.excluded(tx, line.view.slo, start, end))
        for line in lines
        if line.spent_without is not None
    }


def report_of(start: datetime, end: datetime, lines: list[Kept], excluded: Mapping[UUID, str]) -> Report:
    """The report as the API shows it; ``excluded`` as `excluded_of` says it."""
    kept, broken, without = slo.report_totals(lines)
    return Report(
        from_at=start,
        to_at=end,
        kept=kept,
        broken=broken,
        without_events=without,
        slos=[
            KeptLine(
                id=line.view.slo.id,
                team=line.view.team,
                service=line.view.service,
                operation=line.view.operation,
                name=line.view.slo.name,
                environment=line.view.slo.environment,
                target=f"{line.view.slo.target:f}",
                bad=line.bad,
                total=line.total,
                achieved=line.achieved,
                spent=line.spent,
                kept=line.kept,
                target_changed=line.changed,
                excluded_bad=line.excluded_bad,
                excluded_total=line.excluded_total,
                spent_without=line.spent_without,
                excluded=excluded.get(line.view.slo.id, ""),
            )
            for line in lines
        ],
    )


def period_of(start: datetime | None, end: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Whole hours; the last seven days when nothing is given.

    Raises:
        Invalid: it ends before it starts, or is longer than 400 days.
    """
    until = (end or now).replace(minute=0, second=0, microsecond=0)
    since = (start or until - timedelta(days=7)).replace(minute=0, second=0, microsecond=0)
    if since >= until:
        raise Invalid("the period ends before it starts", field="from", hint="swap `from` and `to`")
    if until - since > timedelta(days=400):
        raise Invalid("counts are kept for 400 days", field="from", hint="ask for a shorter period")
    return since, until


@get("/slos/report", sync_to_thread=True, summary="Report what was kept", tags=["slos"])
def slo_report(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: TeamName = None,
    start: From = None,
    end: To = None,
    form: Format = "json",
) -> Response[Any]:
    """What was promised and what was kept, in whole hours; as JSON or as CSV."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        since, until = period_of(instant_of(start, field="from"), instant_of(end, field="to"), now=tx.now)
        lines = slo.kept(tx, start=since, end=until, team_id=team_id_of(tx, team))
        report = report_of(since, until, lines, excluded_of(tx, lines, since, until))
    if form == "json":
        return Response(report)
    return Response(
        as_csv(report),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="slos-{since:%Y-%m-%d}-{until:%Y-%m-%d}.csv"'},
    )


def as_csv(report: Report) -> str:
    """RFC 4180; names that a spreadsheet would take for a formula are quoted by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(KeptLine.__struct_fields__)
    for line in report.slos:
        writer.writerow([_cell(getattr(line, field)) for field in KeptLine.__struct_fields__])
    return out.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@get("/slos/rules", sync_to_thread=True, summary="Prometheus rules", tags=["slos"])
def slo_rules(
    caller: GivenCaller, db: GivenDb, team: TeamName = None, service: ServiceName = None, selector: Selector = None
) -> Response[str]:
    """The SLOs as Prometheus recording and alerting rules, over OpenTelemetry's request metrics."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        text = slo.prometheus_rules(
            tx, team_id=team_id_of(tx, team), service_id=service_id_of(tx, service), selector=selector
        )
    return Response(text, media_type="application/yaml; charset=utf-8")


@get("/slos/{slo_id:uuid}/badge", sync_to_thread=True, summary="A badge's address", tags=["slos"])
def slo_badge(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, signer: GivenSigner, slo_id: FromPath[UUID]
) -> Badge:
    """The address of a badge for a README; it needs no sign-in, and ends when the secret key is rotated away."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=slo_id).view
        signed = signer.sign(BADGE, {"slo": str(slo_id)}, expires_at=tx.now + _BADGE_FOR)
    url = f"{settings.base_url}/badges/{signed}.svg"
    return Badge(url=url, markdown=f"[![{view.service}: {view.slo.name}]({url})]({settings.base_url}/slos/{slo_id})")


handlers = [slo_report, slo_rules, slo_badge]
