"""The acts: calm, a bad release, the burn, the page, its cause, the acknowledgement, the rollback, the recovery."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from rich.markup import escape

from examples.demo.mailbox import Mail
from examples.demo.stage import Stage
from examples.demo.story import DemoFailed, Story
from examples.demo.watch import patiently, until

CALM_SECONDS = 20
CHOICE_SECONDS = 20
"""How long a person at the terminal may think before the demo acknowledges by itself."""


@dataclass
class Seen:
    """What the acts found, for the ones after them."""

    on_call: str = ""
    name: str = ""
    mail: Mail | None = None
    incident: int = 0
    acknowledged_by: str = ""


def play(stage: Stage, story: Story, *, seen: Seen, killing: bool = False) -> None:
    """All acts in order; ``killing`` ends Watchbill's own processes with SIGKILL in between, which must change nothing.

    Raises:
        DemoFailed: one did not come out as told.
    """
    calm(stage, story)
    bad_release(stage, story)
    strike_down(stage, story, "server", "pager", killing=killing)
    burn(stage, story)
    page(stage, story, seen)
    strike_down(stage, story, "observer", "pager", killing=killing)
    suspect(stage, story, seen)
    acknowledge(stage, story, seen)
    strike_down(stage, story, "server", killing=killing)
    rolled_back(stage, story, seen)
    strike_down(stage, story, "observer", killing=killing)
    recovery(stage, story, seen)


def strike_down(stage: Stage, story: Story, *names: str, killing: bool) -> None:
    for name in names if killing else ():
        stage.kill(name)
        story.tell(f"[red]kill -9[/red] {name}")


def calm(stage: Stage, story: Story) -> None:
    story.chapter("Calm")
    watch = stage.watch
    began = time.monotonic()
    with story.waiting("visitors look, order and pay; Watchbill learns what is normal") as say:

        def all_ok() -> bool:
            stage.refuse_dead_processes()
            states = [slo["state"] for slo in watch.slos()]
            say(f"visitors look, order and pay: {states.count('ok')} of {len(states)} objectives are met")
            rested = time.monotonic() - began > CALM_SECONDS
            return bool(states) and rested and all(state == "ok" for state in states)

        until(all_ok, timeout_seconds=60, every_seconds=0.5, why="the objectives of the calm shop were not all met")
    counts = stage.visitors()
    quiet = not watch.incidents() and not stage.mailbox.mails
    story.check("in calm nobody is paged", quiet, f"{len(watch.incidents())} incidents")
    story.check("in calm the visitors meet no failure", counts.get("failed") == 0, str(counts))
    story.tell(
        f"{counts.get('sent', 0)} requests, {counts.get('orders', 0)} orders, {counts.get('failed', 0)} failures; "
        f"all {len(watch.slos())} objectives are met, nobody is paged"
    )


def bad_release(stage: Stage, story: Story) -> None:
    story.chapter("A bad release")
    stage.deploy("v2", previous="v1")
    story.moment("payments v2 released")
    story.tell("the pipeline put payments [bold]v2[/bold] out, and told Watchbill. It fails two charges of five.")


def burn(stage: Stage, story: Story) -> None:
    with story.waiting("the error budget of payments burns …") as say:

        def firing() -> dict[str, Any] | None:
            stage.refuse_dead_processes()
            slo = slo_of(stage, "payments")
            say(f"payments · charge card: {slo['state']} {slo['tier'] or ''}")
            return slo if slo["state"] == "firing" and slo["tier"] == "page" else None

        slo = until(firing, timeout_seconds=45, why="the burn of payments was not seen")
    burning = f"{slo['burn']:.0f} times" if slo["burn"] else "far"
    story.tell(f"payments · charge card burns its error budget [bold red]{burning}[/bold red] faster than it may:")
    story.tell(escape(slo["reason"]), style="dim")


def page(stage: Stage, story: Story, seen: Seen) -> None:
    story.chapter("The page")
    person = stage.watch.on_call("payments")
    seen.on_call, seen.name = person["login"], person["name"]
    mail = stage.mailbox.wait_for(lambda each: each.acknowledge_url is not None, timeout_seconds=20)
    if mail is None:
        raise DemoFailed(f"no mail with an acknowledge link came; {len(stage.mailbox.mails)} others did")
    seen.mail = mail
    story.check("the mail goes to the person on call for payments", mail.to == (seen.on_call,), str(mail.to))
    story.tell(f"[bold]{seen.on_call}[/bold] is on call for team payments, and has mail:")
    story.show_mail(mail)
    rows = stage.watch.incidents()
    if not rows or not rows[-1]["pages"]:
        raise DemoFailed("there is a mail, but no incident with a page")
    seen.incident = rows[-1]["number"]
    story.moment("burn seen, incident opened", _monotonic(rows[-1]["opened_at"]))
    story.moment("mail in the inbox", mail.at)
    found = rows[-1]["pages"][0]
    story.check("the page is for team payments", found["team"] == "payments", str(found["team"]))
    story.check("the page escalates until somebody answers", found["state"] == "escalating", found["state"])
    story.tell(f"incident {seen.incident}: {rows[-1]['url']}")


def acknowledge(stage: Stage, story: Story, seen: Seen) -> None:
    story.chapter("The acknowledgement")
    assert seen.mail is not None
    link = seen.mail.acknowledge_url
    assert link is not None
    with httpx.Client(timeout=10, trust_env=False) as browser:
        shown = patiently(lambda: browser.get(link))
        story.check("the link in the mail opens without signing in", shown.status_code == 200, str(shown.status_code))
        state = the_page(stage, seen)["state"]
        story.check("opening the link (as mail scanners do) acknowledges nothing", state == "escalating", state)
        story.tell("a link preview opened the link: the page still rings, as it should")
        if story.interactive:
            how = story.offer(
                f"You are {seen.name}: press [bold]Enter[/bold] to acknowledge, or open the link in the mail yourself",
                seconds=CHOICE_SECONDS,
                done=lambda: the_page(stage, seen)["state"] == "acknowledged",
            )
        else:
            how = "time"
        if how != "done":
            answer = patiently(lambda: browser.post(link))
            fine = answer.status_code in (200, 303)
            story.check("the button of the link acknowledges", fine, f"{answer.status_code} {answer.text[:200]}")
    acknowledged = until(
        lambda: the_page(stage, seen) if the_page(stage, seen)["state"] == "acknowledged" else None,
        timeout_seconds=5,
        why="the acknowledgement did not take",
    )
    story.moment("acknowledged")
    seen.acknowledged_by = acknowledged["acknowledged_by"]
    if how != "done":
        right = seen.acknowledged_by == seen.name
        story.check("the acknowledgement is the on-call person's", right, seen.acknowledged_by)
    story.tell(f"[green]acknowledged[/green] by {seen.acknowledged_by}; nobody else will be woken for it")


def suspect(stage: Stage, story: Story, seen: Seen) -> None:
    """The ranking names v2, and the rules of the manifest let it be undone at once."""
    story.chapter("The cause, and the way back")

    def begun() -> dict[str, Any] | None:
        stage.refuse_dead_processes()
        runs = stage.watch.get("/rollbacks", incident=str(seen.incident))
        return runs[0] if runs and runs[0]["state"] != "queued" else None

    with story.waiting("Watchbill compares v2 with v1 …"):
        run = until(begun, timeout_seconds=60, why=f"nothing was rolled back: {_why_not(stage, seen)}")
    found = stage.watch.get(f"/incidents/{seen.incident}/suspects")
    top = found["suspects"][0]
    story.check("payments v2 is named as the cause", top["service"] == "payments" and top["version"] == "v2", str(top))
    story.check("it was measured to be worse", top["answer"] == "worse", str(top["answer"]))
    story.tell(f"probable cause: [bold]{escape(top['title'])}[/bold], {top['confidence']:.0%}, because")
    for each in top["evidence"]:
        story.tell(f"  {escape(each['text'])}", style="dim")
    alone = run["mode"] == "automatic"
    story.check("the team's manifest let it act alone", alone, run["mode"])
    story.moment("cause named, rollback decided", _monotonic(run["created_at"]))
    story.tell(f"rollback {run['number']}: {escape(run['reason'])}; runner {run['runner']} has it")


def _why_not(stage: Stage, seen: Seen) -> str:
    timeline = stage.watch.incident(seen.incident)["timeline"]
    return "; ".join(entry["why"] for entry in timeline if entry["name"] == "rollback.not_automatic") or "no reason"


def rolled_back(stage: Stage, story: Story, seen: Seen) -> None:
    """The executor is done: v1 serves again."""

    def done() -> dict[str, Any] | None:
        stage.refuse_dead_processes()
        run: dict[str, Any] = stage.watch.get("/rollbacks", incident=str(seen.incident))[0]
        return run if run["finished_at"] else None

    with story.waiting("the runner puts v1 back …"):
        run = until(done, timeout_seconds=60, why="the rollback did not end")
    story.check("the executor succeeded", run["exit_code"] == 0, f"{run['state']}: {run['end_reason']}")
    for line in run["output"].splitlines():
        story.tell(f"  {escape(line)}", style="dim")
    story.moment("v1 serves again", _monotonic(run["finished_at"]))
    story.tell(f"payments [bold]v1[/bold] serves again; the executor took {run['took_seconds']:.1f} s")


def _monotonic(instant: str) -> float:
    """The moment of an instant that Watchbill wrote down."""
    return time.monotonic() - (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()


def recovery(stage: Stage, story: Story, seen: Seen) -> None:
    with story.waiting("the short windows forget the failures …") as say:

        def calm_again() -> bool:
            stage.refuse_dead_processes()
            slo = slo_of(stage, "payments")
            say(f"payments · charge card: {slo['state']} (burn {slo.get('burn') or 0:.0f}×)")
            return slo["state"] in ("recovering", "ok")

        until(calm_again, timeout_seconds=110, every_seconds=0.5, why="payments did not recover")
        story.moment("burn over")
        story.tell("the budget no longer burns")
        say("the incident settles …")

        def resolved() -> bool:
            return str(stage.watch.incident(seen.incident)["state"]) == "resolved"

        until(resolved, timeout_seconds=45, every_seconds=0.5, why="the incident did not resolve itself")
    run = until(
        lambda: next((r for r in stage.watch.get("/rollbacks", incident=str(seen.incident)) if r["over"]), None),
        timeout_seconds=60,
        every_seconds=0.5,
        why="the rollback has no end",
    )
    story.check(
        "the rollback is verified: recovered", run["state"] == "recovered", f"{run['state']} {run['end_reason']}"
    )
    story.moment("recovery verified", _monotonic(run["ended_at"]))
    story.moment("incident resolved")
    story.check("the incident resolves itself", True)
    story.tell(f"incident {seen.incident} [green]resolved itself[/green]: {stage.url}/incidents/{seen.incident}")


def verify(stage: Stage, story: Story, seen: Seen) -> None:
    """Look back over all of it, by the API."""
    rows = stage.watch.incidents()
    story.check("there was one incident", len(rows) == 1, f"{len(rows)}: {[row['title'] for row in rows]}")
    paged = {each["team"] for row in rows for each in row["pages"]}
    story.check("only team payments was paged; the innocent slept", paged == {"payments"}, str(sorted(paged)))
    strangers = {to for mail in stage.mailbox.mails for to in mail.to} - {seen.on_call}
    story.check("no mail went to anybody else", not strangers, str(sorted(strangers)))
    detail = stage.watch.incident(seen.incident)
    arrived = [note for note in detail["notifications"] if note["state"] in ("sent", "delivered")]
    right = {note["person"] for note in arrived} == {seen.name}
    story.check("the notification is on record as sent", right, str(detail["notifications"]))
    names = [entry["name"] for entry in detail["timeline"]]
    for name in ("incident.opened", "incident.resolved"):
        story.check(f"the timeline has {name}", name in names, str(names))
    told = any("acknowledged" in name for name in names)
    story.check("the timeline has the acknowledgement", told, str(names))
    counts = stage.visitors()
    deployed = stage.watch.get("/changes", service="payments")
    told = {(one["version"], one["state"]) for one in (deployed["changes"] if isinstance(deployed, dict) else deployed)}
    story.check("the ledger of changes says that v2 was rolled back", ("v2", "rolled_back") in told, str(told))
    story.check("the shop took every order all the while", counts.get("failed") == 0, str(counts))


def slo_of(stage: Stage, service: str) -> dict[str, Any]:
    for slo in stage.watch.slos():
        if slo["service"] == service:
            return slo
    raise DemoFailed(f"{service} has no objective")


def the_page(stage: Stage, seen: Seen) -> dict[str, Any]:
    found: dict[str, Any] = stage.watch.incident(seen.incident)["pages"][0]
    return found
