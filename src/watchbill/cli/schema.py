"""``watchbill schema``: the JSON Schema of a manifest."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def schema() -> None:
    """Print the JSON Schema; save it and name it in a first line '# yaml-language-server: $schema=PATH'."""
    from watchbill.manifest import schema_text

    typer.echo(schema_text(), nl=False)
