"""YAML as people write it: plain data, and where each piece of it stands.

Scalars follow the core schema of YAML 1.2 (section 10.3): ``on``, ``no``, ``12:30``, ``2026-01-05`` and
``007`` are text, ``1e3`` and ``99.95`` are exact `Decimal` numbers. A key given twice is an error, and so
are tags, nesting past `MAX_DEPTH` and documents past `MAX_NODES` (an "alias bomb").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import yaml as pyyaml
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from watchbill.kernel.errors import Problem

MAX_DEPTH = 40
MAX_NODES = 100_000
"""Of one document, with every alias written out."""

Path = tuple[str | int, ...]
"""Keys and list positions from the root of a document, such as ``("spec", "members", 1)``."""

_TAGS: dict[type[Node], str] = {
    ScalarNode: "tag:yaml.org,2002:str",
    MappingNode: "tag:yaml.org,2002:map",
    SequenceNode: "tag:yaml.org,2002:seq",
}
_KNOWN_TAGS = frozenset(_TAGS.values())
_COMPOSE_DEPTH = 200
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}


class Document:
    """One document of a file: ``data`` is what it says, `position` where it says so.

    The nodes are read again from the text when a place is asked for: keeping those of ten thousand
    documents costs more than reading one twice.
    """

    __slots__ = ("_column", "_line", "_root", "_text", "data", "file")

    def __init__(self, file: str, text: str, root: Node, data: Any) -> None:
        start = root.start_mark
        self.file = file
        self.data = data
        self._text = text[start.index : root.end_mark.index]
        self._line, self._column = start.line, start.column
        self._root: Node | None = None

    @property
    def root(self) -> Node:
        """The root node; its marks count from the start of the document."""
        if self._root is None:
            # a block that begins at column n goes on there: the spaces before it belong to it
            self._root = next(_compose(" " * self._column + self._text))
        return self._root

    def value(self, path: Path) -> Any:
        """The data at ``path``, which must exist."""
        found = self.data
        for part in path:
            found = found[part]
        return found

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at ``path`` (or of its key).

        Where the path leads nowhere, as for something that is missing, the nearest thing around it.
        """
        if not path:
            return self._line + 1, self._column + 1
        node: Node = self.root
        mark = node.start_mark
        for part in path:
            child = child_of(node, part)
            if child is None:
                break
            name, node = child
            mark = name.start_mark if key else node.start_mark
        return mark.line + self._line + 1, mark.column + 1

    def place(self, path: Path = (), *, key: bool = False) -> str:
        """``file.yaml:8:16`` of `position`."""
        line, column = self.position(path, key=key)
        return f"{self.file}:{line}:{column}"


def child_of(node: Node, part: str | int) -> tuple[Node, Node] | None:
    """The (key node, value node) of ``part`` in a mapping or list; an item of a list is its own key."""
    if isinstance(node, MappingNode):
        return next((pair for pair in node.value if pair[0].value == part), None)
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def is_plain(node: Node) -> bool:
    """True for a scalar without quotes, whose text may also mean a number, a boolean or nothing."""
    return isinstance(node, ScalarNode) and node.style in (None, "")


def field(path: Sequence[str | int]) -> str:
    """A path as people write it: ``spec.members[1].login``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(text: str, *, file: str) -> tuple[list[Document], list[Problem]]:
    """Read every document of a file; empty ones are left out.

    Never raises for what the text says: a document that cannot be read becomes a `Problem`, and what
    stands before it is still returned. ``file`` is the name that places are given under.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    text = text.removeprefix("\ufeff")
    try:
        for root in _compose(text):
            if isinstance(root, ScalarNode) and is_plain(root) and root.value == "":
                continue
            reading = _Reading(file)
            data = reading.document(root)
            problems.extend(reading.problems)
            if not reading.problems:
                documents.append(Document(file, text, root, data))
    except pyyaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(error, text, file))
    except (pyyaml.YAMLError, UnicodeError) as error:
        problems.append(_unreadable(error, text, file))
    return documents, problems


class _Parser(CParser):
    """The C parser without tag resolution (every plain scalar arrives as its text) and with a limit on depth,
    since it composes by recursion on the C stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def resolve(self, kind: type[Node], _value: object, _implicit: object) -> str:
        return _TAGS[kind]

    def descend_resolver(self, _parent: object, _index: object) -> None:
        self._depth += 1
        if self._depth > _COMPOSE_DEPTH:
            raise pyyaml.YAMLError(f"nested more than {_COMPOSE_DEPTH} deep")

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _compose(text: str) -> Iterator[Node]:
    parser = _Parser(text)
    try:
        while parser.check_node():
            node = parser.get_node()
            if node is not None:
                yield node
    finally:
        parser.dispose()


class _Odd(Exception):
    """This document needs the slow reading, which says what is wrong and where."""


class _TooMuch(Exception):
    """Stops the slow reading; the problem is already noted."""


def _plain_data(node: Any, depth: int, left: list[int]) -> Any:
    """The data of a node that has nothing wrong with it."""
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0 or node.tag not in _KNOWN_TAGS:
        raise _Odd
    kind = type(node)
    if kind is ScalarNode:
        return node.value if node.style else scalar(node.value)
    if kind is SequenceNode:
        return [_plain_data(item, depth + 1, left) for item in node.value]
    data: dict[str, Any] = {}
    for key, value in node.value:
        if type(key) is not ScalarNode or key.value in data:
            raise _Odd
        data[key.value] = _plain_data(value, depth + 1, left)
    return data


class _Reading:
    """Turns the nodes of one document into plain data."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._nodes = 0

    def document(self, root: Node) -> Any:
        try:
            return _plain_data(root, 0, [MAX_NODES])
        except _Odd:
            pass
        try:
            return self._value(root, (), 0)
        except _TooMuch:
            return None

    def _value(self, node: Any, path: Path, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            hint = f"at most {MAX_DEPTH} levels and {MAX_NODES:,} values, aliases (*name) written out"
            message = "this document nests too deeply or repeats itself too often"
            self._note(node, path[:6], "yaml.too_large", message, hint)
            raise _TooMuch
        if node.tag not in _KNOWN_TAGS:
            hint = "remove it; values are understood without tags"
            self._note(node, path, "yaml.tag", f"the tag '{node.tag}' means nothing here", hint)
            return None
        if isinstance(node, ScalarNode):
            return scalar(node.value) if is_plain(node) else node.value
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, at), depth + 1) for at, item in enumerate(node.value)]
        return self._mapping(node, path, depth)

    def _mapping(self, node: Any, path: Path, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._note(key_node, path, "yaml.key", "a key must be one word", "write 'name: value'")
                continue
            key = key_node.value
            if key in data:
                first = next(name for name, _ in node.value if name.value == key).start_mark.line + 1
                hint = f"keep one of them; the first is in line {first}"
                self._note(key_node, (*path, key), "yaml.duplicate_key", f"the key '{key}' is given twice", hint)
            data[key] = self._value(value_node, (*path, key), depth + 1)
        return data

    def _note(self, node: Node, path: Path, code: str, message: str, hint: str) -> None:
        mark = node.start_mark
        place = f"{self.file}:{mark.line + 1}:{mark.column + 1}"
        self.problems.append(Problem(code=code, message=message, place=place, field=field(path) or None, hint=hint))


def scalar(text: str) -> Any:
    """What a plain scalar means: None, a bool, an int, an exact Decimal, or its text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "0123456789+-.":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return Decimal(text)
    return text


def _syntax_problem(error: pyyaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    what = error.problem or error.context or "not YAML"
    return Problem(
        code="yaml.syntax",
        message=f"this is not valid YAML: {what}",
        place=f"{file}:{line + 1}:{column + 1}",
        hint=_syntax_hint(what, text, line, column),
    )


def _syntax_hint(what: str, text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    current = lines[line] if line < len(lines) else ""
    if "\t" in current[: column + 1]:
        return "indent with spaces; YAML does not allow tabs"
    if "mapping values are not allowed" in what:
        return "put a value that contains ': ' in quotes, and check the indentation of this line"
    if "found character that cannot start any token" in what and current[column : column + 1] in tuple("@`%"):
        return f"put a value that begins with '{current[column]}' in quotes"
    if "undefined alias" in what:
        return "put a value that begins with '*' in quotes, or define the anchor (&name) before this line"
    if "expected ',' or" in what or "end of the stream" in what or "end of stream" in what:
        return "a bracket, brace or quote opened before this is not closed"
    return "check the indentation, and that each line is 'key: value' or '- item'"


def _unreadable(error: Exception, text: str, file: str) -> Problem:
    reason = getattr(error, "reason", None)
    at = getattr(error, "position", None) or 0
    before = text[:at]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return Problem(
        code="yaml.characters",
        message=f"this is not text that YAML allows: {reason or error}",
        place=f"{file}:{line}:{column}",
        hint="save the file as UTF-8 without control characters" if reason else "nest less deeply",
    )
