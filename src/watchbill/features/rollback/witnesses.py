"""What must recover after a rollback: the objectives that burned in its incident."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from watchbill.features import alerts, incidents, slo
from watchbill.features.incidents import Incident
from watchbill.features.rollback import recovery
from watchbill.features.rollback.model import Rules, Verification, Witness
from watchbill.features.slo import SloView
from watchbill.kernel.durations import rough_duration
from watchbill.kernel.errors import NotFound
from watchbill.runtime.db import Tx

MOST = 8
"""Objectives that are asked about for one rollback: those that burn most."""


def choose(tx: Tx, *, incident: Incident, rules: Rules, verify_for: timedelta) -> Verification:
    """What must recover: the SLOs whose alerts are in the incident; else those of its services that burn now.

    An objective that did not burn would prove nothing by not burning afterwards. Where none did, the alerts decide.
    """
    views = _alerting(tx, incident)
    if not views:
        services = incidents.services_of(tx, incident_ids=[incident.id]).get(incident.id, [])
        found = [view for id in services for view in slo.slos(tx, service_id=id)]
        views = [
            (view, "burn")
            for view in found
            if view.slo.environment == incident.environment
            and view.state is not None
            and (view.state.state == "recovering" or (view.state.state == "firing" and view.state.cause == "burn"))
        ]
    views.sort(key=lambda pair: -((pair[0].state.burn if pair[0].state else None) or 0.0))
    width = slo.slice_seconds(tx)
    witnesses = [
        _witness(view, cause, rules=rules, verify_for=verify_for, slice_seconds=width)
        for view, cause in views[:MOST]
        if view.state is not None
    ]
    if not witnesses:
        chosen = "no objective burned in this incident, so its alerts say whether it helped: all must resolve"
        return Verification(rule="alerts", chosen=chosen)
    window = rough_duration(timedelta(seconds=max(each.window_seconds for each in witnesses)))
    names = ", ".join(each.name for each in witnesses[:3])
    more = f" and {len(witnesses) - 3} more" if len(witnesses) > 3 else ""
    chosen = f"{names}{more} must burn under the alert's threshold for {window}"
    return Verification(rule="burn", chosen=chosen, witnesses=witnesses)


def _alerting(tx: Tx, incident: Incident) -> list[tuple[SloView, str]]:
    """The live SLOs whose alerts are members of the incident, with what each told: a burn, or lost traffic."""
    integration = alerts.builtin_integration(tx, name="slo")
    found: dict[UUID, tuple[SloView, str]] = {}
    for member in alerts.alerts_of_incident(tx, incident_id=incident.id):
        kind, _, text = member.identity.partition(":")
        if member.integration_id != integration.id or kind != "slo":
            continue
        try:
            view = slo.slo_detail(tx, id=UUID(text)).view
        except NotFound:
            continue
        if view.slo.removed_at is None:
            found[view.slo.id] = (view, "traffic" if member.annotations.get("cause") == "traffic" else "burn")
    return list(found.values())


def _witness(view: SloView, cause: str, *, rules: Rules, verify_for: timedelta, slice_seconds: int) -> Witness:
    """The alert that fired: of its tier's pairs that are over both windows, the shortest and the strictest."""
    one, state = view.slo, view.state
    windows = list(state.windows) if state else []
    pairs = [each for each in windows if each.over_short and each.over_long] or windows
    tier = state.tier if state else None
    pairs = [each for each in pairs if each.tier == (tier or "page")] or pairs
    sliced = one.measure if one.unit_seconds else None
    wanted = rules.verify_window or timedelta(seconds=min((each.short_seconds for each in pairs), default=300))
    window = recovery.window_of(
        wanted, verify_for=verify_for, slice_seconds=slice_seconds, unit_seconds=one.unit_seconds
    )
    share = None
    if sliced is not None and sliced.method == "timeslices":
        share = 1 - float(sliced.slice_target or 100) / 100
    return Witness(
        slo_id=one.id,
        operation_id=one.operation_id,
        objective=one.name,
        name=f"{view.service} · {view.operation} ({one.name})",
        cause="traffic" if cause == "traffic" else "burn",
        factor=min((each.factor for each in pairs), default=1.0),
        budget_share=float(one.budget_share),
        window_seconds=int(window.total_seconds()),
        unit_seconds=one.unit_seconds,
        given=one.source is not None,
        unit_share=share,
    )
