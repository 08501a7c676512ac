"""From nodes to structs, naming everything that is wrong at once.

The quick way is `msgspec.convert`; a document it refuses is walked node by node beside the struct's types.
The walk also settles what a plain scalar means by what is wanted: ``name: 123`` is the text ``123``.
"""

from __future__ import annotations

import types
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from watchbill.kernel.errors import Problem
from watchbill.manifest.suggest import nearest
from watchbill.runtime.yaml import Document, Path, field, is_plain, scalar

_NOTHING = object()
_BOOLEAN_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


class Reading:
    """One walk through one document; ``problems`` is what it found."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def struct(self, node: Node, wanted: type[msgspec.Struct], path: Path) -> Any:
        """The data of a mapping, with unknown and missing keys noted."""
        if not isinstance(node, MappingNode):
            return self._wrong(node, path, "keys: " + ", ".join(f.encode_name for f in msgspec.structs.fields(wanted)))
        known = {each.encode_name: each for each in msgspec.structs.fields(wanted)}
        hints = get_type_hints(wanted, include_extras=True)
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key not in known:
                self._unknown_key(key, list(known), path)
                continue
            data[key] = self.value(value_node, hints[known[key].name], (*path, key))
        for key, each in known.items():
            if each.required and key not in data:
                self._missing(key, hints[each.name], path)
        return data

    def value(self, node: Node, wanted: Any, path: Path) -> Any:  # noqa: PLR0911  one for each sort of type
        """The data at ``node`` as the type ``wanted`` has it; what does not fit is noted."""
        kind, extra = _plain_type(wanted)
        if kind is Any:
            return self.document.value(path)
        if get_origin(kind) in (Union, types.UnionType):
            return self._one_of(node, get_args(kind), path)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.struct(node, kind, path)
        if get_origin(kind) is list:
            return self._list(node, wanted, get_args(kind)[0], path)
        if get_origin(kind) is dict:
            return self._dict(node, get_args(kind)[1], path)
        expected = extra.get("expected") or _expected(kind)
        if not isinstance(node, ScalarNode):
            return self._wrong(node, path, expected)
        value = _scalar(node, kind)
        if value is _NOTHING:
            return self._wrong(node, path, expected)
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            return self._wrong(node, path, expected)
        return value

    def _one_of(self, node: Node, options: tuple[Any, ...], path: Path) -> Any:
        if is_plain(node) and scalar(str(node.value)) is None and type(None) in options:
            return None
        options = tuple(each for each in options if each is not type(None))
        structs = [
            each
            for each in options
            if isinstance(_plain_type(each)[0], type) and issubclass(_plain_type(each)[0], msgspec.Struct)
        ]
        if isinstance(node, MappingNode) and structs:
            return self.value(node, structs[0], path)
        lists = [each for each in options if get_origin(_plain_type(each)[0]) is list]
        if isinstance(node, SequenceNode) and lists:
            return self.value(node, lists[0], path)
        others = [each for each in options if each not in structs]
        return self.value(node, (others or structs)[0], path)

    def _list(self, node: Node, wanted: Any, each: Any, path: Path) -> Any:
        if not isinstance(node, SequenceNode):
            text = f"[{node.value}]" if isinstance(node, ScalarNode) and node.value else "[one, two]"
            return self._wrong(node, path, f"a list, such as {text}")
        found = [self.value(item, each, (*path, at)) for at, item in enumerate(node.value)]
        limits = [meta for meta in getattr(wanted, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
        for meta in limits:
            if meta.min_length and len(found) < meta.min_length:
                self._wrong(node, path, f"at least {meta.min_length} here")
            if meta.max_length and len(found) > meta.max_length:
                self._wrong(node, path, f"at most {meta.max_length} here")
        return found

    def _dict(self, node: Node, each: Any, path: Path) -> Any:
        if not isinstance(node, MappingNode):
            return self._wrong(node, path, "'key: value' pairs")
        return {key.value: self.value(value, each, (*path, key.value)) for key, value in node.value}

    def _unknown_key(self, key: str, known: list[str], path: Path) -> None:
        guess = nearest(key, known)
        if key == "<<":
            hint = "merge keys are not read here; write the keys out"
        elif guess:
            hint = f"did you mean '{guess}'?"
        else:
            hint = f"known here: {', '.join(known)}"
        self._note("manifest.unknown_key", f"the key '{key}' is not known here", (*path, key), hint, key=True)

    def _missing(self, key: str, wanted: Any, path: Path) -> None:
        _, extra = _plain_type(wanted)
        hint = extra.get("missing") or f"add {key}: {extra.get('expected') or '…'}"
        self._note("manifest.missing", f"'{key}' is missing", path, hint, at=(*path, key))

    def _wrong(self, node: Node, path: Path, expected: str) -> Any:
        found = _found(node)
        hint = f"write {expected}"
        if isinstance(node, ScalarNode) and expected == _expected(bool) and node.value.lower() in _BOOLEAN_1_1:
            hint = f"write {_BOOLEAN_1_1[node.value.lower()]}"
        if isinstance(node, ScalarNode) and expected.startswith("one of "):
            guess = nearest(node.value, expected.removeprefix("one of ").replace(" or ", ", ").split(", "))
            hint = f"did you mean '{guess}'?" if guess else hint
        self._note("manifest.type", f"expected {expected}; found {found}", path, hint)
        return _NOTHING

    def _note(
        self, code: str, message: str, path: Path, hint: str, *, at: Path | None = None, key: bool = False
    ) -> None:
        place = self.document.place(path, key=key)
        self.problems.append(Problem(code=code, message=message, place=place, field=field(at or path), hint=hint))


def _plain_type(wanted: Any) -> tuple[Any, dict[str, str]]:
    """A type without its annotations, and the ``extra`` of those (the outer ones win)."""
    extra: dict[str, str] = {}
    while get_origin(wanted) is Annotated:
        for meta in wanted.__metadata__:
            if isinstance(meta, msgspec.Meta) and meta.extra:
                extra = {**meta.extra, **extra}
        wanted = wanted.__origin__
    return wanted, extra


def _scalar(node: ScalarNode, kind: Any) -> Any:
    text: str = node.value
    meant = scalar(text) if is_plain(node) else text
    if meant is None:
        return _NOTHING
    if kind is str or get_origin(kind) is Literal:
        return text
    if kind is Decimal:
        number = scalar(text)
        return Decimal(text) if isinstance(number, int | Decimal) and not isinstance(number, bool) else _NOTHING
    if kind is date:
        return text
    return meant if type(meant) is kind else _NOTHING


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(each) for each in get_args(kind))
    return {str: "text", bool: "true or false", int: "a whole number", Decimal: "a number", date: "a day"}.get(
        kind, "a value"
    )


def _found(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "keys"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.value == "" and is_plain(node):
        return "nothing"
    return f"'{node.value[:60]}'"


def walk(document: Document, wanted: type[msgspec.Struct]) -> tuple[Any, list[Problem]]:
    """The data of a document as ``wanted`` has it, and everything that is wrong with it."""
    reading = Reading(document)
    data = reading.struct(document.root, wanted, ())
    return data, reading.problems
