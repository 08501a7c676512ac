"""``watchbill import``: leave another on-call system behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.output import Json, emit
from watchbill.kernel.errors import Conflict

if TYPE_CHECKING:
    from watchbill.leaving import Comparison, Imported

app = typer.Typer(help="Turn the export of another on-call system into manifests; needs no server.")

Paths = Annotated[list[Path], typer.Argument(help="JSON files of the export, or folders of them.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for what is written; files there are kept.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would be.")]
Compare = Annotated[bool, typer.Option("--compare", help="Compare the next 90 days minute by minute.")]


@app.command()
def pagerduty(
    paths: Paths,
    output: Output = Path("imported"),
    dry_run: DryRun = False,
    compare: Compare = False,
    json: Json = False,
) -> None:
    """PagerDuty (REST API v2)."""
    _run("pagerduty", paths, output, dry_run=dry_run, compare=compare, json=json)


@app.command()
def opsgenie(
    paths: Paths,
    output: Output = Path("imported"),
    dry_run: DryRun = False,
    compare: Compare = False,
    json: Json = False,
) -> None:
    """Opsgenie (REST API v2)."""
    _run("opsgenie", paths, output, dry_run=dry_run, compare=compare, json=json)


@app.command("grafana-oncall")
def grafana_oncall(
    paths: Paths,
    output: Output = Path("imported"),
    dry_run: DryRun = False,
    compare: Compare = False,
    json: Json = False,
) -> None:
    """Grafana OnCall (HTTP API v1)."""
    _run("grafana-oncall", paths, output, dry_run=dry_run, compare=compare, json=json)


def _run(source: str, paths: list[Path], output: Path, *, dry_run: bool, compare: bool, json: bool) -> None:
    from watchbill import leaving
    from watchbill.kernel.clock import SystemClock

    imported = leaving.convert(source, paths)
    files = _files(imported)
    if not dry_run:
        taken = [name for name in files if (output / name).exists()]
        if taken:
            hint = "choose another --output, or move it away"
            raise Conflict(f"{output / taken[0]} exists already", code="file_exists", hint=hint)
        output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = output / name
            path.touch(mode=0o600)  # addresses of people are in some of them
            path.write_text(text, "utf-8")
    compared = leaving.compare(imported, SystemClock().now()) if compare else None
    emit(_plain(imported, list(files), compared), json=json, table=lambda found: _lines(found, output, dry_run=dry_run))


def _files(imported: Imported) -> dict[str, str]:
    import yaml

    files = {"watchbill.yaml": yaml.safe_dump_all([*imported.teams, *imported.services], sort_keys=False)}
    commands = {"contacts.sh": imported.contact_commands, "overrides.sh": imported.override_commands}
    return files | {name: "\n".join(["#!/bin/sh", "set -e", *lines, ""]) for name, lines in commands.items() if lines}


def _plain(imported: Imported, files: list[str], compared: Comparison | None) -> dict[str, Any]:
    import msgspec

    return {
        "source": imported.source,
        "teams": len(imported.teams),
        "services": len(imported.services),
        "contacts": len(imported.contact_commands),
        "overrides": len(imported.override_commands),
        "files": files,
        "not_carried_over": msgspec.to_builtins(imported.notes),
        "compared": None if compared is None else msgspec.to_builtins(compared),
    }


def _lines(found: dict[str, Any], output: Path, *, dry_run: bool) -> Any:
    from rich.text import Text

    wrote = "would write" if dry_run else "wrote"
    lines = [f"{found['teams']} teams, {found['services']} services; {wrote} {', '.join(found['files'])} in {output}"]
    lines += [f"not carried over: {note['place']}: {note['reason']}" for note in found["not_carried_over"]]
    if compared := found["compared"]:
        lines.append(f"{compared['minutes']} minutes compared, {len(compared['differences'])} differences")
        for each in compared["differences"]:
            source, here = (", ".join(each[side]) or "nobody" for side in ("source", "watchbill"))
            span = f"{each['start_at']} to {each['end_at']} ({each['minutes']} min)"
            lines.append(f"{each['schedule']}: {span}: there {source}, here {here}: {each['reason']}")
    return Text("\n".join(lines))
