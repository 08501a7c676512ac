"""Array and map values of attributes become JSON text, as the Collector's ClickHouse exporter stores them.

The engine that decodes OTLP cannot read messages that contain themselves. Such values are rare, so they are first
looked for in the raw bytes (about 10 µs for a thousand spans) and only a request that has one is walked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

# KeyValue.value (field 2), its length, then AnyValue.array_value (5) or kvlist_value (6).
_CANDIDATE = re.compile(rb"\x12(?:[\x00-\x7f]|[\x80-\xff]{1,4}[\x00-\x7f])[\x2a\x32]")
_NESTED = frozenset({"array_value", "kvlist_value"})


def may_be_nested(body: bytes) -> bool:
    """Whether some attribute of this request may hold an array or a map; never false when one does."""
    match = _CANDIDATE.search(body)
    while match is not None:
        outer, at = _varint(body, match.start() + 1)
        inner, after = _varint(body, at + 1)
        if outer == after - at + inner:
            return True
        match = _CANDIDATE.search(body, match.start() + 1)
    return False


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
        shift += 7
    return value, at


def flatten_attributes(attributes: Iterable[KeyValue]) -> None:
    """Replace nested values by their JSON, in place."""
    for attribute in attributes:
        flatten_value(attribute.value)


def flatten_value(value: AnyValue) -> None:
    """Replace a nested value by its JSON, in place."""
    if value.WhichOneof("value") in _NESTED:
        value.string_value = msgspec.json.encode(plain(value)).decode()


def plain(value: AnyValue) -> Any:
    """The value as JSON would have it; bytes in base64."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)
