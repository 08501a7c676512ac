"""OTLP's JSON, which is proto3's JSON with differences: ids are hex, enums are integers, names lowerCamelCase only.

Source: OpenTelemetry protocol specification, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from watchbill.kernel.errors import Invalid

_HEX = frozenset({"trace_id", "span_id", "parent_span_id"})
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
        FieldDescriptor.CPPTYPE_ENUM,
    }
)
_NUMBERS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})
_DEEPEST = 100

_fields: dict[Any, dict[str, FieldDescriptor]] = {}


def parse(body: bytes, message: Message) -> set[str]:
    """Fill ``message`` from OTLP/JSON; returns the snake_case names met (unknown, as all unknown names are ignored).

    Raises:
        Invalid: not JSON, or a value of the wrong type; ``field`` says where.
    """
    if not body.strip():
        return set()
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"this is not JSON: {error}", hint="send OTLP/JSON, or application/x-protobuf") from error
    if not isinstance(value, dict):
        raise Invalid("an OTLP/JSON body is an object", hint='such as {"resourceSpans": []}')
    snakes: set[str] = set()
    _fill(value, message, "", snakes, 0)
    return snakes


def _names(descriptor: Any) -> dict[str, FieldDescriptor]:
    names = _fields.get(descriptor)
    if names is None:
        names = _fields[descriptor] = {field.camelcase_name: field for field in descriptor.fields}
    return names


def _fill(value: dict[str, Any], message: Message, path: str, snakes: set[str], depth: int) -> None:  # noqa: PLR0912 - the cases of one mapping
    if depth > _DEEPEST:
        raise Invalid("this is nested too deeply", field=path)
    names = _names(message.DESCRIPTOR)
    for key, item in value.items():
        field = names.get(key)
        if field is None:
            if "_" in key and len(snakes) < 5:
                snakes.add(key)
            continue
        if item is None:
            continue
        place = f"{path}.{key}" if path else key
        if field.is_repeated:
            if not isinstance(item, list):
                raise Invalid(f"a list is wanted, not {_kind(item)}", field=place)
            target = getattr(message, field.name)
            for index, element in enumerate(item):
                if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                    _fill(_object(element, place, index), target.add(), f"{place}[{index}]", snakes, depth + 1)
                else:
                    target.append(_scalar(element, field, f"{place}[{index}]"))
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill(_object(item, place, None), inner, place, snakes, depth + 1)
        else:
            try:
                setattr(message, field.name, _scalar(item, field, place))
            except (ValueError, TypeError) as error:
                raise Invalid(f"{error}", field=place) from error


def _object(value: Any, place: str, index: int | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        at = place if index is None else f"{place}[{index}]"
        raise Invalid(f"an object is wanted, not {_kind(value)}", field=at)
    return value


def _scalar(value: Any, field: FieldDescriptor, place: str) -> Any:
    kind = field.cpp_type
    if kind in _INTEGERS:
        return _integer(value, field, place)
    if kind in _NUMBERS:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            try:
                return float(value)
            except ValueError:
                raise Invalid(f"'{value}' is not a number", field=place) from None
        raise Invalid(f"a number is wanted, not {_kind(value)}", field=place)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if isinstance(value, bool):
            return value
        raise Invalid(f"true or false is wanted, not {_kind(value)}", field=place)
    if not isinstance(value, str):
        raise Invalid(f"a string is wanted, not {_kind(value)}", field=place)
    if field.type != FieldDescriptor.TYPE_BYTES:
        return value
    try:
        if field.name in _HEX:
            return bytes.fromhex(value)
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        wanted = "hexadecimal digits" if field.name in _HEX else "base64"
        raise Invalid(f"'{value[:64]}' is not {wanted}", field=place) from None


def _integer(value: Any, field: FieldDescriptor, place: str) -> int:
    if isinstance(value, str) and field.cpp_type != FieldDescriptor.CPPTYPE_ENUM:
        try:
            value = int(value)
        except ValueError:
            raise Invalid(f"'{value[:64]}' is not an integer", field=place) from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        raise Invalid("enums are integers in OTLP/JSON, not names", field=place, hint='such as "kind": 2')
    raise Invalid(f"an integer is wanted, not {_kind(value)}", field=place)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
