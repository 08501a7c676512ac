"""The guide to rotas says what is true: its manifest is read, its commands exist with those options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
import yaml

from watchbill.cli.oncall import app
from watchbill.features.oncall import parse_rotation

GUIDE = (Path(__file__).parents[2] / "docs/guides/plan-a-rota.md").read_text()


def test_the_manifest_of_the_guide_is_a_rotation() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
    spec = yaml.safe_load(text)["spec"]
    rotation = parse_rotation(spec["onCall"], spec["members"], spec["timeZone"])
    assert rotation.members == tuple(spec["members"])
    assert rotation.every == "1w"


def test_every_command_of_the_guide_is_understood() -> None:
    group = typer.main.get_group(app)
    lines = re.findall(r"^\$ watchbill oncall (.*)$", GUIDE, re.M)
    assert len(lines) >= 6
    for line in lines:
        name, *arguments = shlex.split(line)
        group.commands[name].make_context(name, arguments)
