"""``watchbill validate``: check manifests without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchbill.cli.files import read_manifests
from watchbill.cli.output import Json, emit
from watchbill.cli.problems import print_problems

app = typer.Typer()


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (walked for *.yaml and *.yml); - is stdin.")],
    external: Annotated[
        bool, typer.Option("--external", help="Names that these files do not describe may exist on the server.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="An owner nobody can be reached for is an error.")] = False,
    json: Json = False,
) -> None:
    """Say everything that is wrong with these manifests, with its place and how to mend it. Exit code 2 if any."""
    from watchbill import manifest

    bundle, problems = manifest.validate(read_manifests(paths), external=external, strict=strict)
    errors = sum(problem.severity == "error" for problem in problems)
    counts = {"valid": errors == 0, "teams": len(bundle.teams), "services": len(bundle.services)}
    if json:
        emit({**counts, "problems": problems}, json=True)
    else:
        print_problems(problems)
        said = f"{errors} error{'s' if errors > 1 else ''}" if errors else "valid"
        typer.echo(f"{said}: {len(bundle.teams)} teams, {len(bundle.services)} services read")
    if errors:
        raise typer.Exit(2)
