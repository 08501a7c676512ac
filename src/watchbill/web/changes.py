"""Changes: the list, what a service's page shows of them, and signing past the gate."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from watchbill.features import catalog, changes, gates, identity
from watchbill.features.catalog import Service
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Forbidden, Invalid, NotFound
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

SHOWN = 100
ENVIRONMENT = "production"


@get("/changes", sync_to_thread=True)
def change_list(
    *,
    request: AnyRequest,
    web: GivenWeb,
    service: FromQuery[str] = "",
    team: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    environment: FromQuery[str] = "",
) -> Response[Any]:
    """Every change, newest first, filtered."""
    with shell.looking(web, request) as screen:
        teams = catalog.teams(screen.tx)
        chosen = next((t for t in teams if t.name == team), None)
        known = catalog.service_by_name(screen.tx, name=service) if service else None
        found = changes.newest_changes(
            screen.tx,
            service_ids=[s.id for s in catalog.services(screen.tx, team_id=chosen.id)] if chosen else None,
            service_name=(known.name if known else service) or None,
            kind=next((each for each in changes.KINDS if each == kind), None),
            environment=environment or None,
            limit=SHOWN,
        )
        return screen.page(
            "changes.html",
            title="Changes",
            live="change:* service:*",
            changes=found,
            environments=sorted({"production", "staging", *(one.environment for one in found), environment} - {""}),
            problems=changes.watch_problems(changes.watches(screen.tx), now=screen.tx.now),
            spent=changes.spends(screen.tx, changes=found),
            teams=teams,
            kinds=changes.KINDS,
            service=service,
            team=team,
            kind=kind,
            environment=environment,
        )


def of_service(screen: Screen, service: Service) -> dict[str, Any]:
    """What the page of a service shows: its latest changes, DORA's measures, the gate, overrides, lockstep."""
    decision, facts = gates.look_at_gate(screen.tx, service=service, environment=ENVIRONMENT)
    found = changes.newest_changes(screen.tx, service_ids=[service.id], environment=ENVIRONMENT, limit=8)
    return {
        "gate": decision,
        "policy": facts.policy,
        "overrides": facts.overrides,
        "signers": screen.people({one.signed_by for one in facts.overrides}),
        "changes": found,
        "spent": changes.spends(screen.tx, changes=found),
        "dora": changes.dora_of(screen.tx, service_id=service.id),
        "lockstep": changes.lockstep_of(screen.tx, service=service.name),
        "may_override": screen.person is not None and identity.may(screen.caller, "manage_team", service.team_id),
    }


@get("/services/{name:str}/override", sync_to_thread=True)
def confirm_override(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """What an override will do, before it is signed."""
    with shell.looking(web, request) as screen:
        service = _named(screen, name)
        decision, _ = gates.look_at_gate(screen.tx, service=service, environment=ENVIRONMENT)
        return screen.page("gate_override.html", title="Override the gate", service=service, gate=decision)


@post("/services/{name:str}/override", sync_to_thread=True, status_code=204, opt=ACT)
def sign_override(request: AnyRequest, web: GivenWeb, name: FromPath[str], data: Form) -> Response[None]:
    """Signed by whoever is signed in."""
    with shell.acting(web, request, data) as screen:
        service = _named(screen, name)
        identity.require(screen.caller, "manage_team", service.team_id)
        if screen.person is None:
            raise Forbidden("an override is signed by a person", hint="sign in as yourself, not with a token")
        try:
            lasts = parse_duration(data.get("lasts") or "1h")
        except (ValueError, OverflowError) as error:
            raise Invalid(str(error), field="lasts", hint="write 90m, 4h or 1d") from error
        made = gates.sign_override(
            screen.tx,
            service=service,
            environment=ENVIRONMENT,
            version=(data.get("version") or "").strip()[:200] or None,
            reason=data.get("reason", ""),
            lasts=lasts,
            person_id=screen.person.id,
            actor=screen.caller.actor,
        )
        undo = ("Withdraw", f"/services/{service.name}/override/{made.id}/withdraw")
        return shell.done(request, "The gate is open for it.", back=f"/services/{service.name}", undo=undo)


@post("/services/{name:str}/override/{id:uuid}/withdraw", sync_to_thread=True, status_code=204, opt=ACT)
def withdraw_override(
    request: AnyRequest, web: GivenWeb, name: FromPath[str], id: FromPath[UUID], data: Form
) -> Response[None]:
    """It ends now."""
    with shell.acting(web, request, data) as screen:
        one = gates.override_by_id(screen.tx, id=id)
        identity.require(screen.caller, "manage_team", catalog.service(screen.tx, id=one.service_id).team_id)
        gates.withdraw_override(screen.tx, id=id, actor=screen.caller.actor)
        return shell.done(request, "The override is withdrawn.", back=f"/services/{name}")


def _named(screen: Screen, name: str) -> Service:
    service = catalog.service_by_name(screen.tx, name=name)
    if service is None:
        raise NotFound(f"there is no service '{name}'", hint="see the list of services")
    return service


handlers = [change_list, confirm_override, sign_override, withdraw_override]
