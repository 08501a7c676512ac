"""``watchbill verify``: is this version worse than that one? For people, and for pipelines by its exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows
from watchbill.kernel.clock import format_instant, parse_instant
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()

_EXIT = {"no worse": 0, "worse": 1}


@app.command()
def verify(
    *,
    service: Annotated[str, typer.Argument(help="A service's name.")],
    canary: Annotated[str, typer.Option("--canary", help="The new version, as telemetry's service.version.")],
    control: Annotated[str | None, typer.Option("--control", help="The version to compare with.")] = None,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where.")] = "production",
    since: Annotated[str | None, typer.Option("--since", help="When the canary began: RFC 3339, or 30m ago.")] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", help='Your own numbers: JSON {"canary": […], "control": […]}.')
    ] = None,
    worse: Annotated[
        Literal["increase", "decrease"], typer.Option("--worse", help="Which direction of your samples is bad.")
    ] = "increase",
    ratio: Annotated[float, typer.Option("--ratio", min=1.01, help="At least this many times as many is worse.")] = 1.5,
    json: Json = False,
    home: Home = None,
) -> None:
    """Compare two versions by telemetry, or by samples of yours. Ask every minute: false alarms stay below 5%.

    Exit codes: 0 no worse, 1 worse, 2 undecided or not enough data yet.
    """
    body: dict[str, Any] = {"canary": canary, "control": control, "environment": environment, "ratio": ratio}
    if since is not None:
        body["since"] = _instant(since)
    if samples is not None:
        body["samples"] = {**_samples(samples), "worse": worse}
    with Client.from_environment(home) as client:
        found = client.post(f"/api/v1/services/{path_part(service)}/verify", body)
    emit(found, json=json, table=_shown)
    raise typer.Exit(_EXIT.get(found["verdict"]["answer"], 2))


def _instant(text: str) -> str:
    try:
        return format_instant(datetime.now(UTC) - parse_duration(text))
    except ValueError:
        pass  # not a duration: an instant then, or said below
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        raise Invalid(str(error), field="--since", hint="write 30m, or 2026-03-02T09:00:00Z") from error


def _samples(path: Path) -> dict[str, Any]:
    import msgspec

    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, list[float]])
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid(f"{path}: {error}", hint='write {"canary": [1.0, …], "control": [1.0, …]}') from error
    if set(found) != {"canary", "control"}:
        raise Invalid(f"{path} must hold exactly canary and control", hint='write {"canary": […], "control": […]}')
    return found


def _shown(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    verdict = found["verdict"]
    tone = {"worse": "bold red", "no worse": "green"}.get(verdict["answer"], "yellow")
    table = rows(
        verdict["measures"],
        ("Measure", "name"),
        ("Says", "words"),
        ("Evidence", lambda m: f"p {m['evidence']['p_value']:.2g}, whenever you look"),
        ("Large enough", "large_enough"),
        empty="",
    )
    judge = verdict["judge"]
    kayenta = Text(f"Kayenta's judge: {judge['reason']} ({judge['judgement']})" if judge else "", style="dim")
    return Group(Text(verdict["words"], style=tone), table, kayenta)
