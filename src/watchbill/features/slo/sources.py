"""Where counts come from, and whether each source answers: a source that is down freezes what it measures.

A source has a name: ``prometheus:<server>``, ``clickhouse`` (telemetry is kept there), ``otlp`` (the collectors that
send to us) or ``probes`` (our own way to what is probed). A Service that says ``sources: [<name>]`` owns it: its team
is paged when the source has been away for `DOWN_FOR`. Without an owner the fallback team is paged, and `problems` says
that nobody owns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import alerts, catalog
from watchbill.features.slo import store
from watchbill.features.slo.model import MetricSource, ProbeSource, PrometheusSource, Slo
from watchbill.features.slo.store import slo_source
from watchbill.kernel.errors import Problem
from watchbill.runtime.db import Tx

CLICKHOUSE, OTLP, PROBES = "clickhouse", "otlp", "probes"
INTEGRATION = "slo-sources"
DOWN_FOR = timedelta(minutes=10)
"""A source away for so long pages its owner: its SLOs are blind."""
_SEEN_EVERY = timedelta(minutes=1)


class SourceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A source: ``seen_at`` when it answered last (to the minute), ``down_at`` since when it does not; its owner."""

    name: str
    title: str
    seen_at: datetime | None
    down_at: datetime | None
    error: str | None
    service: str | None
    team: str | None


def prometheus(server: str) -> str:
    """The name of a Prometheus."""
    return f"prometheus:{server}"


def title_of(name: str) -> str:
    """A source as people say it."""
    if name == CLICKHOUSE:
        return "ClickHouse"
    if name == OTLP:
        return "OpenTelemetry"
    if name == PROBES:
        return "What is probed"
    return f"Prometheus '{name.partition(':')[2]}'"


def note(tx: Tx, *, name: str, answered: bool, error: str = "") -> None:
    """A source answered, or did not.

    1. What is known is kept in PostgreSQL, so that a restart of ours does not begin the wait anew.
    2. Down for `DOWN_FOR`: an alert to the owner's service, refreshed each time; its incident says what is blind.
    3. Answering again: the alert is resolved.
    """
    row = tx.execute(sa.select(slo_source).where(slo_source.c.name == name)).one_or_none()
    if answered:
        if row is not None and row.down_at is None and row.seen_at and tx.now - row.seen_at < _SEEN_EVERY:
            return
        _write(tx, name, seen_at=tx.now, down_at=None, error=None)
        if row is not None and row.down_at is not None:
            _say(tx, name, "resolve", "it answers again")
        return
    down_at = row.down_at if row is not None and row.down_at is not None else tx.now
    if row is None or row.down_at is None or row.error != error:
        _write(tx, name, down_at=down_at, error=error[:500])
    if tx.now - down_at >= DOWN_FOR:
        said = f" ({error[:300]})" if error else ""
        _say(
            tx,
            name,
            "trigger",
            f"no answer since {down_at:%Y-%m-%d %H:%M} UTC{said}. The SLOs measured by it are frozen: what fires"
            " goes on firing, what was well is unmeasured.",
        )


def _write(tx: Tx, name: str, **values: object) -> None:
    statement = insert(slo_source).values(name=name, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def _say(tx: Tx, name: str, action: str, description: str) -> None:
    owner = owners(tx).get(name)
    event = alerts.Event(
        identity=name,
        action=action,  # type: ignore[arg-type]  # one of the two literals
        title=f"{title_of(name)} does not answer Watchbill",
        description=description,
        severity="critical",
        service=owner.name if owner else None,
        labels={"source": name},
        annotations={} if owner else {"unowned": f"no service says sources: [{name}]"},
    )
    integration = alerts.builtin_integration(tx, name=INTEGRATION)
    alerts.accept_events(tx, integration_id=integration.id, events=[event])


def owners(tx: Tx) -> dict[str, catalog.Service]:
    """The service that owns each source, by the source's name."""
    return {name: service for service in catalog.services(tx) for name in service.spec.get("sources", ())}


def names_of(slo: Slo) -> set[str]:
    """What an SLO is measured by."""
    if slo.source is None or isinstance(slo.source, MetricSource):
        return {CLICKHOUSE, OTLP}
    if isinstance(slo.source, PrometheusSource):
        return {prometheus(slo.source.server), CLICKHOUSE}
    return {PROBES, CLICKHOUSE} if isinstance(slo.source, ProbeSource) else {CLICKHOUSE}


def source_down(tx: Tx, *, slo: Slo) -> SourceHealth | None:
    """The source of this SLO that does not answer, the one that is down the longest; None when all do."""
    down = [one for one in health(tx, names=names_of(slo)) if one.down_at is not None]
    return min(down, key=lambda one: (one.down_at, one.name), default=None)


def used(tx: Tx) -> set[str]:
    """The names of the sources that live SLOs are measured by."""
    found: set[str] = set()
    for slo in store.live_slos(tx):
        found |= names_of(slo)
    return found


def down_since(tx: Tx, *, name: str) -> datetime | None:
    """Since when a source does not answer; None: it does, or nobody looked yet."""
    at: datetime | None = tx.execute(sa.select(slo_source.c.down_at).where(slo_source.c.name == name)).scalar()
    return at


def health(tx: Tx, *, names: Iterable[str] | None = None) -> list[SourceHealth]:
    """Every source in use (or these), by name."""
    wanted = used(tx) if names is None else set(names)
    rows = {row.name: row for row in tx.execute(sa.select(slo_source))}
    owned = owners(tx)
    teams = {team.id: team.name for team in catalog.teams(tx)}
    found = []
    for name in sorted(wanted):
        row, owner = rows.get(name), owned.get(name)
        found.append(
            SourceHealth(
                name=name,
                title=title_of(name),
                seen_at=row.seen_at if row else None,
                down_at=row.down_at if row else None,
                error=row.error if row else None,
                service=owner.name if owner else None,
                team=teams.get(owner.team_id) if owner else None,
            )
        )
    return found


def problems(tx: Tx, *, embedded: bool) -> list[Problem]:
    """What is wrong with the sources: one is down, or has no owner. The ``embedded`` engine needs none: it is ours."""
    found = []
    for one in health(tx):
        if one.down_at is not None:
            found.append(
                Problem(
                    code="slo.source_down",
                    message=f"{one.title} has not answered since {one.down_at:%Y-%m-%d %H:%M} UTC:"
                    f" the SLOs measured by it are frozen{f' ({one.error})' if one.error else ''}",
                    hint=f"its owner is {one.service} ({one.team})" if one.service else "it has no owner",
                    severity="warning",
                )
            )
        if one.service is None and not (embedded and one.name == CLICKHOUSE):
            found.append(
                Problem(
                    code="slo.source_unowned",
                    message=f"nobody owns {one.title}, which measures SLOs: down, it pages the fallback team",
                    hint=f"describe it as a service and write sources: [{one.name}] in its spec",
                    severity="warning",
                )
            )
    return found
