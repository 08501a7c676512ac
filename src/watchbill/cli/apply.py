"""``watchbill apply``: plan and apply manifests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.files import default_source, read_manifests
from watchbill.cli.output import Home, Json, busy, emit
from watchbill.cli.problems import print_problems
from watchbill.kernel.errors import Conflict

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()

_SIGNS = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}
_MOST_LINES = 200


@app.command()
def apply(
    *,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (walked for *.yaml and *.yml); - is stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; change nothing.")] = False,
    source: Annotated[str | None, typer.Option(help="Where these come from. Default: the repository's name.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what this source no longer describes.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="An owner nobody can be reached for is an error.")] = False,
    take_over: Annotated[bool, typer.Option("--take-over", help="Also change what another source applied.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing a lot.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make Watchbill be as these manifests describe. All or nothing; applying twice changes nothing."""
    asked: dict[str, Any] = {
        "files": read_manifests(paths),
        "source": source or default_source(paths),
        "dry_run": dry_run,
        "prune": prune,
        "strict": strict,
        "take_over": take_over,
        "confirm": yes,
    }
    with Client.from_environment(home, timeout_seconds=120) as client, busy("applying"):
        try:
            outcome = client.post("/api/v1/apply", asked)
        except Conflict as conflict:
            if conflict.problem.code != "confirmation_needed" or json or not sys.stdin.isatty():
                raise
            typer.confirm(f"{conflict.problem.message}\nGo on?", abort=True, err=True)
            outcome = client.post("/api/v1/apply", {**asked, "confirm": True})
    emit(outcome, json=json, table=_plan)
    if not json:
        print_problems(outcome["warnings"])


def _plan(outcome: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    shown = Text()
    for action in outcome["actions"][:_MOST_LINES]:
        sign, colour = _SIGNS[action["verb"]]
        shown.append(f"{sign} {action['kind']} {action['name']}{_remark(action, outcome['source'])}\n", style=colour)
        for change in action.get("fields", []):
            shown.append(f"    {change['field']}: {_value(change, 'before')} → {_value(change, 'after')}\n")
    hidden = len(outcome["actions"]) - _MOST_LINES
    if hidden > 0:
        shown.append(f"… and {hidden} more (--json prints all)\n", style="dim")
    counts = f"{outcome['added']} to add, {outcome['changed']} to change, {outcome['removed']} to remove"
    if outcome["applied"]:
        counts = f"{outcome['added']} added, {outcome['changed']} changed, {outcome['removed']} removed"
    done = "Applied" if outcome["applied"] else "Plan"
    shown.append(f"{done} (source {outcome['source']}): {counts}, {outcome['unchanged']} unchanged.", style="bold")
    for reason in outcome["confirm_because"]:
        shown.append(f"\nAsks for confirmation: {reason}", style="yellow")
    return shown


def _remark(action: dict[str, Any], source: str) -> str:
    remarks = []
    if action.get("renamed_from"):
        remarks.append(f"was {action['renamed_from']}")
    if action.get("taken_from") not in (None, source):
        remarks.append(f"taken from source {action['taken_from']}")
    return f" ({', '.join(remarks)})" if remarks else ""


def _value(change: dict[str, Any], side: str) -> str:
    value = change.get(side)
    if value is None:
        return "(none)"
    if isinstance(value, list | dict):
        import msgspec

        return msgspec.json.encode(value).decode()
    return str(value)
