"""The guide to leaving others names commands that exist with those options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer

from watchbill.cli.import_ import app

GUIDE = (Path(__file__).parents[2] / "docs/guides/leave-others.md").read_text()


def test_every_import_of_the_guide_is_understood() -> None:
    group = typer.main.get_group(app)
    lines = re.findall(r"^\$ watchbill import (.*)$", GUIDE, re.M)
    assert {line.split()[0] for line in lines} == set(group.commands)
    for line in lines:
        name, *arguments = shlex.split(line)
        group.commands[name].make_context(name, arguments)
