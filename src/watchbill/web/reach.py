"""My contact methods: verify and test each, in which order and after which delay they are tried, and when not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from watchbill import channels
from watchbill.channels import webpush
from watchbill.features import identity
from watchbill.features.identity import DAYS, Person, PersonalRule, QuietHours, RuleStep
from watchbill.kernel.errors import Conflict, Invalid
from watchbill.web import shell
from watchbill.web.assets import ASSETS
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

BLANK_STEPS = 2
MOST_ROWS = 12
DAY_CHOICES = {
    "": "Every day",
    "mon,tue,wed,thu,fri": "Monday to Friday",
    "sat,sun": "Saturday and Sunday",
    **dict(
        zip(
            DAYS,
            ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"),
            strict=True,
        )
    ),
}


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the editor: the method chosen (empty: none) and the minutes."""

    method: str
    minutes: str


def _me(screen: Screen) -> Person:
    if screen.person is None:
        raise Conflict("a token is not a person and cannot be reached", hint="sign in as a person")
    return screen.person


@get("/me/reach", sync_to_thread=True)
def reach_page(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """Everything about how I am reached."""
    key = _push_key(web)
    with shell.looking(web, request) as screen:
        person = _me(screen)
        methods = identity.contact_methods(screen.tx, person_ids=[person.id])[person.id]
        rule = identity.personal_rules(screen.tx, person_ids=[person.id]).get(person.id, PersonalRule())
        missing = channels.missing_of(web.settings)
        used = {step.contact_method_id for step in (*rule.default, *rule.important)}
        return screen.page(
            "reach.html",
            title="How I am reached",
            live="oncall:*",
            methods=methods,
            reach=identity.reach_of(methods),
            test=identity.latest_tests(screen.tx, person_ids=[person.id]).get(person.id),
            kinds={each.name: each for each in channels.describe()},
            offered=[each for each in channels.describe() if each.name != "webpush"],
            missing=missing,
            shown=identity.shown_address,
            rows={"default": _rows(rule.default), "important": _rows(rule.important)},
            quiet=[*rule.quiet, QuietHours(from_time="", to_time="")],
            days={**{",".join(hours.days): ", ".join(hours.days) for hours in rule.quiet}, **DAY_CHOICES},
            unused=[method for method in methods if used and method.id not in used],
            push_key=key,
        )


def _push_key(web: shell.Web) -> str:
    """The public half; made in the lane of actions the first time, because that is a write."""
    with web.act.transaction() as tx:
        return webpush.public_key(identity.web_push_key(tx, make=webpush.new_key))


def _rows(steps: tuple[RuleStep, ...]) -> list[RuleRow]:
    rows = [RuleRow(method=str(step.contact_method_id), minutes=f"{step.after_seconds / 60:g}") for step in steps]
    return [*rows, *[RuleRow(method="", minutes="") for _ in range(BLANK_STEPS)]]


@post("/me/contact-methods/{id:uuid}/code", sync_to_thread=True, status_code=204, opt=ACT)
def send_code(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """Send a code through the method."""
    with shell.acting(web, request, data) as screen:
        person = _me(screen)
        identity.ask_for_code(screen.tx, person_id=person.id, contact_method_id=id, actor=screen.caller.actor)
    return shell.done(request, "A code is on its way. Enter it here when it comes.", back="/me/reach")


@post("/me/contact-methods/{id:uuid}/verify", sync_to_thread=True, status_code=204, opt=ACT)
def verify(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """Confirm the code."""
    with shell.acting(web, request, data) as screen:
        person, code = _me(screen), data.get("code", "")
        right = identity.confirm_code(
            screen.tx, person_id=person.id, contact_method_id=id, code=code, actor=screen.caller.actor
        )
    if not right:
        raise Invalid("the code is not right", code="bad_code", field="code", hint="look again, or send a new one")
    return shell.done(request, "Verified.", back="/me/reach")


@post("/me/contact-methods/{id:uuid}/test", sync_to_thread=True, status_code=204, opt=ACT)
def test(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """Send a test over the method."""
    with shell.acting(web, request, data) as screen:
        person = _me(screen)
        identity.send_test(screen.tx, person_id=person.id, contact_method_id=id, actor=screen.caller.actor)
    return shell.done(request, "A test is on its way. Tap its link to say that it arrived.", back="/me/reach")


@post("/me/contact-methods/{id:uuid}/first", sync_to_thread=True, status_code=204, opt=ACT)
def first(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """Try this one first."""
    with shell.acting(web, request, data) as screen:
        person = _me(screen)
        identity.order_contact_methods(screen.tx, person_id=person.id, order=[id], actor=screen.caller.actor)
    return shell.done(request, "It is tried first now.", back="/me/reach")


@post("/me/reach/rule", sync_to_thread=True, status_code=204, opt=ACT)
def save_rule(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """The whole rule: steps of both urgencies and quiet hours."""
    rule = PersonalRule(
        default=_steps(data, "default"),
        important=_steps(data, "important"),
        quiet=tuple(_quiet(data)),
    )
    with shell.acting(web, request, data) as screen:
        identity.set_personal_rule(screen.tx, person_id=_me(screen).id, rule=rule, actor=screen.caller.actor)
    return shell.done(request, "Saved. It holds for pages from now on.", back="/me/reach")


def _steps(data: dict[str, str], urgency: str) -> tuple[RuleStep, ...]:
    found = []
    for row in range(MOST_ROWS):
        method = data.get(f"{urgency}_method_{row}", "")
        minutes = data.get(f"{urgency}_minutes_{row}", "").replace(",", ".").strip() or "0"
        if not method:
            continue
        try:
            found.append(RuleStep(contact_method_id=UUID(method), after_seconds=round(float(minutes) * 60)))
        except (ValueError, OverflowError) as error:
            raise Invalid(f"'{minutes}' is not a number of minutes", field=f"{urgency}_minutes_{row}") from error
    return tuple(found)


def _quiet(data: dict[str, str]) -> list[QuietHours]:
    found = []
    for row in range(MOST_ROWS):
        start, end = data.get(f"quiet_from_{row}", ""), data.get(f"quiet_to_{row}", "")
        if start or end:
            days = tuple(day for day in data.get(f"quiet_days_{row}", "").split(",") if day)
            found.append(QuietHours(from_time=start, to_time=end, days=days))
    return found


@get("/c/{signed:str}", sync_to_thread=True)
def show_proof(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """Behind the link of a code or a test: one button. Looking changes nothing, so scanners prove nothing."""
    with web.act.transaction() as tx:
        identity.open_proof_link(web.signer, signed, now=tx.now)
        return shell.page(request, "proof.html", now=tx.now, title="It arrived", proved=None)


@post("/c/{signed:str}", sync_to_thread=True, status_code=200, opt={"lane": "act"})
def prove(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """It arrived: the method is verified. The link is the proof; no sign-in is needed."""
    with web.act.transaction() as tx:
        method_id, test_id = identity.open_proof_link(web.signer, signed, now=tx.now)
        person = identity.prove_method(tx, contact_method_id=method_id, test_id=test_id)
        return shell.page(request, "proof.html", now=tx.now, title="It arrived", proved=person)


@get("/push-worker.js", sync_to_thread=False)
def push_worker() -> Response[bytes]:
    """The service worker: at the root, because its place is its scope."""
    return Response(
        ASSETS.find("js/push-worker.js").body,
        media_type="text/javascript; charset=utf-8",
        headers={"Cache-Control": "no-cache"},
    )


handlers = [
    reach_page,
    send_code,
    verify,
    test,
    first,
    save_rule,
    show_proof,
    prove,
    push_worker,
]
