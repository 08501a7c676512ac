"""The reference page of the manifest, from its structs. ``python -m watchbill.manifest.reference`` writes it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from watchbill.features.rollback.plans import Plan
from watchbill.manifest import schema
from watchbill.manifest.documents import ServiceManifest, TeamManifest
from watchbill.manifest.words import Part

_HEAD = """\
# Manifest reference

Generated from the structs in `watchbill.manifest`; every key there is. The JSON Schema for editors is printed by
`watchbill schema` and served at `/api/v1/schema`; name it in the first line of a file:
`# yaml-language-server: $schema=watchbill-v1.schema.json`.
For a first file see [Describe your service](../guides/describe-your-service.md).

YAML is read by the core schema of YAML 1.2: `on`, `no`, `12:30` and dates are text; numbers are kept exactly.
A key given twice, an unknown key and a tag are errors.
"""


AnyPart = Part | Plan
_PARTS = (Part, Plan)
"""What gets a section of its own."""


def render() -> str:
    """The page."""
    parts: dict[type[AnyPart], None] = {}
    for kind in (TeamManifest, ServiceManifest):
        _collect(kind, parts)
    sections = [_section(part) for part in parts]
    return _HEAD + "\n" + "\n".join(sections)


def _collect(part: type[AnyPart], found: dict[type[AnyPart], None]) -> None:
    found.setdefault(part)
    for hint in _hints(part).values():
        for inner in _parts_in(hint):
            if inner not in found:
                _collect(inner, found)


def _parts_in(hint: Any) -> list[type[AnyPart]]:
    if isinstance(hint, type) and issubclass(hint, _PARTS):
        return [hint]
    return [part for each in get_args(hint) for part in _parts_in(each)]


def _section(part: type[AnyPart]) -> str:
    lines = [
        f"## {part.__name__}",
        "",
        (part.__doc__ or "").strip(),
        "",
        "| key | value | default | |",
        "|---|---|---|---|",
    ]
    hints = _hints(part)
    for each in msgspec.structs.fields(part):
        hint = hints[each.name]
        lines.append(f"| `{each.encode_name}` | {_say(hint)} | {_default(each)} | {_description(hint)} |")
    return "\n".join([*lines, ""])


def _hints(part: type[AnyPart]) -> dict[str, Any]:
    return get_type_hints(part, include_extras=True)


def _say(hint: Any) -> str:  # noqa: PLR0911  one for each sort of type
    origin = get_origin(hint)
    if origin is Annotated:
        return next((m.extra["expected"] for m in _metas(hint) if m.extra and "expected" in m.extra), None) or _say(
            hint.__origin__
        )
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_say(each) for each in get_args(hint) if each is not type(None)))
    if origin is list:
        return f"list of {_say(get_args(hint)[0])}"
    if origin is dict:
        return "`key: value` pairs"
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, _PARTS):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return {bool: "`true` or `false`", int: "a number", str: "text"}.get(hint, "a value")


def _metas(hint: Any) -> list[msgspec.Meta]:
    return [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]


def _description(hint: Any) -> str:
    for each in (hint, *get_args(hint)):
        found = [meta.description for meta in _metas(each) if meta.description]
        if found:
            return found[-1]
    return ""


def _default(each: msgspec.structs.FieldInfo) -> str:
    if each.required:
        return "**required**"
    value = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
    if value is None or value in ([], {}) or isinstance(value, _PARTS):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`".replace('"', "")


def main() -> None:
    """Write the page and the schema beside the code."""
    root = Path(__file__).parents[3]
    (root / "docs" / "reference" / "manifest.md").write_text(render(), "utf-8")
    (Path(schema.__file__).parent / schema.FILE).write_text(schema.render(), "utf-8")


if __name__ == "__main__":
    main()
