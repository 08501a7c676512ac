"""The guide to rotas says what is true: its manifest is read, its commands exist with those options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
import yaml

from watchbill.cli.oncall import app
from watchbill.features.oncall import parse_rotation, uncovered

GUIDE = (Path(__file__).parents[2] / "docs/guides/plan-a-rota.md").read_text()


def test_the_manifests_of_the_guide_are_schedules() -> None:
    simple, layered = [yaml.safe_load(text)["spec"] for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)]
    rotation = parse_rotation(simple["onCall"], simple["members"], simple["timeZone"])
    assert rotation.members == tuple(simple["members"])
    assert rotation.every == "1w"
    layers = parse_rotation(layered["onCall"], [], layered["timeZone"])
    assert [layer.name for layer in layers.layers] == ["office", "rest of the week", "backup", "learner"]
    assert uncovered(layers) == [], "no slot has a hole"


def test_every_command_of_the_guide_is_understood() -> None:
    group = typer.main.get_group(app)
    lines = re.findall(r"^\$ watchbill oncall (.*)$", GUIDE, re.M)
    assert len(lines) >= 6
    for line in lines:
        name, *arguments = shlex.split(line)
        group.commands[name].make_context(name, arguments)
