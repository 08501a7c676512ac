"""The pipelines in the guides are YAML, and call what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from watchbill.cli.app import COMMANDS

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize("guide", ["gate-a-deploy.md", "record-your-deploys.md"])
def test_every_yaml_example_parses_and_every_command_exists(guide: str) -> None:
    text = (GUIDES / guide).read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert blocks
    assert all(isinstance(yaml.safe_load(block), dict) for block in blocks)
    named = set(re.findall(r"(?:^|[`&] |: )watchbill ([a-z-]+)", text, re.M))
    assert named <= {entry.name for entry in COMMANDS}
