"""``watchbill slo import``, ``validate`` and ``export``: OpenSLO, Sloth and Pyrra in, OpenSLO out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.files import read_texts
from watchbill.cli.output import Home, Json, emit
from watchbill.cli.problems import print_problems

if TYPE_CHECKING:
    from watchbill.kernel.errors import Problem
    from watchbill.manifest.openslo import Reading

Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders with OpenSLO, Sloth or Pyrra documents; - is stdin.")
]


def import_slos(
    paths: Paths,
    owner: Annotated[
        str | None, typer.Option("--owner", help="The team that owns services of which no document says who does.")
    ] = None,
    json: Json = False,
) -> None:
    """Print SLOs of other tools as manifests of Watchbill, for you to look at and apply.

    What cannot be measured as it is written is said with its place and its mend; exit code 2 if any.
    """
    from watchbill.manifest import openslo

    reading = _read(paths)
    documents = openslo.manifests(openslo.operations(reading), owner=owner)
    problems = reading.problems
    for document in documents:
        if "owner" not in document["spec"]:
            name = document["metadata"]["name"]
            problems.append(openslo.nobody_owns(name))
    if json:
        emit({"manifests": documents, "problems": problems}, json=True)
    else:
        print_problems(problems)
        if documents:
            sys.stdout.write(openslo.as_yaml(documents))
    _exit(problems)


def validate_slos(paths: Paths, json: Json = False) -> None:
    """Say everything that is wrong with SLOs of these formats, with its place and its mend. Exit code 2 if any."""
    from watchbill.manifest import openslo

    reading = _read(paths)
    openslo.operations(reading)
    problems = reading.problems
    errors = sum(problem.severity == "error" for problem in problems)
    if json:
        emit({"valid": errors == 0, "slos": len(reading.slos), "problems": problems}, json=True)
    else:
        print_problems(problems)
        said = f"{errors} error{'s' if errors > 1 else ''}" if errors else "valid"
        typer.echo(f"{said}: {len(reading.slos)} SLOs read")
    _exit(problems)


def export_slos(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Write these files' SLOs as OpenSLO v1 instead; - is stdin.")
    ] = None,
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    home: Home = None,
) -> None:
    """Print the SLOs as strict OpenSLO v1; read again, they are the same SLOs."""
    if not paths:
        with Client.from_environment(home) as client:
            sys.stdout.write(client.text("/api/v1/slos/openslo", team=team, service=service))
        return
    from watchbill.manifest import openslo

    reading = _read(paths)
    print_problems(reading.problems)
    if reading.slos:
        sys.stdout.write(openslo.write([found.spec for found in reading.slos]))
    _exit(reading.problems)


def _read(paths: list[Path]) -> Reading:
    from watchbill.manifest import openslo

    return openslo.read(read_texts(paths, openslo.mentions_slos, what="OpenSLO, Sloth or Pyrra document"))


def _exit(problems: list[Problem] | list[Any]) -> None:
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(2)
