"""The JSON Schema of a manifest, for editors and other tools. Generated from the structs; a test keeps it so."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec

from watchbill.manifest.documents import ServiceManifest, TeamManifest

FILE = "watchbill-v1.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema as the structs have it now (JSON Schema draft 2020-12)."""
    variants, components = msgspec.json.schema_components(
        [TeamManifest, ServiceManifest], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://watchbill.dev/schema/watchbill-v1.schema.json",
        "title": "Watchbill manifest (watchbill/v1)",
        "oneOf": list(variants),
        "$defs": {name: _tidy(schema) for name, schema in sorted(components.items())},
    }


def schema_text() -> str:
    """The published file."""
    return files(__package__).joinpath(FILE).read_text("utf-8")


def render() -> str:
    """What the published file must say."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _tidy(schema: Any) -> Any:
    """Without our own notes; percents may be written as numbers, which is how people write them."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _tidy(value) for key, value in schema.items() if key not in {"expected", "missing"}}
    if found.get("format") == "decimal":
        found = {**found, "type": ["number", "string"]}
    return found
