"""OTLP's two encodings mean the same, and nothing nested slips past the search for it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from watchbill.intake.otlp import decode
from watchbill.intake.otlp.flatten import may_be_nested, plain
from watchbill.kernel.errors import Invalid

NOW = time.time_ns()
DAY = 86_400_000_000_000

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
scalars = st.one_of(
    st.builds(lambda v: {"stringValue": v}, texts),
    st.builds(lambda v: {"boolValue": v}, st.booleans()),
    st.builds(lambda v: {"intValue": str(v)}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: {"doubleValue": v}, st.floats(allow_nan=False, allow_infinity=False)),
)


def pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.builds(lambda k, v: {"key": k, "value": v}, texts, values), max_size=3)


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(lambda v: {"arrayValue": {"values": v}}, st.lists(inner, max_size=3)),
        st.builds(lambda v: {"kvlistValue": {"values": v}}, pairs(inner)),
    ),
    max_leaves=6,
)
spans = st.fixed_dictionaries(
    {
        "traceId": st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
        "spanId": st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex),
        "name": texts,
        "kind": st.integers(0, 5),
        "startTimeUnixNano": st.integers(NOW - DAY, NOW).map(str),
        "endTimeUnixNano": st.integers(NOW, NOW + DAY),
        "attributes": pairs(values),
        "status": st.fixed_dictionaries({"code": st.integers(0, 2), "message": texts}),
    }
)


def _value(of: dict[str, Any]) -> AnyValue:
    [(kind, value)] = of.items()
    out = AnyValue()
    if kind == "arrayValue":
        out.array_value.SetInParent()
        out.array_value.values.extend(_value(item) for item in value["values"])
    elif kind == "kvlistValue":
        out.kvlist_value.SetInParent()
        out.kvlist_value.values.extend(_pair(item) for item in value["values"])
    elif kind == "intValue":
        out.int_value = int(value)
    else:
        setattr(
            out, {"stringValue": "string_value", "boolValue": "bool_value", "doubleValue": "double_value"}[kind], value
        )
    return out


def _pair(of: dict[str, Any]) -> KeyValue:
    return KeyValue(key=of["key"], value=_value(of["value"]))


def _message(of: list[dict[str, Any]]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for item in of:
        span = scope.spans.add(
            trace_id=bytes.fromhex(item["traceId"]),
            span_id=bytes.fromhex(item["spanId"]),
            name=item["name"],
            kind=item["kind"],
            start_time_unix_nano=int(item["startTimeUnixNano"]),
            end_time_unix_nano=int(item["endTimeUnixNano"]),
        )
        span.attributes.extend(_pair(pair) for pair in item["attributes"])
        span.status.code, span.status.message = item["status"]["code"], item["status"]["message"]
    return request


def _decode(body: bytes, encoding: Any) -> Any:
    return decode("traces", body, encoding, now_ns=NOW, retention_ns=30 * DAY, horizon_ns=DAY)


@given(st.lists(spans, max_size=4))
def test_json_and_protobuf_of_the_same_spans_are_stored_the_same(made: list[dict[str, Any]]) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode()
    from_json = _decode(body, "json")
    from_protobuf = _decode(_message(made).SerializeToString(), "protobuf")
    read = ExportTraceServiceRequest.FromString
    assert read(from_json.payload) == read(from_protobuf.payload)
    assert (from_json.accepted, from_json.rejected) == (len(made), 0)


@given(st.lists(spans, min_size=1, max_size=3))
def test_nothing_nested_is_left_and_its_json_says_the_same(made: list[dict[str, Any]]) -> None:
    payload = _decode(_message(made).SerializeToString(), "protobuf").payload
    before = [pair for span in made for pair in span["attributes"]]
    after = [
        pair
        for span in ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans
        for pair in span.attributes
    ]
    for given_pair, stored in zip(before, after, strict=True):
        kind = stored.value.WhichOneof("value")
        assert kind not in {"array_value", "kvlist_value"}
        if next(iter(given_pair["value"])) in {"arrayValue", "kvlistValue"}:
            assert json.loads(stored.value.string_value) == plain(_value(given_pair["value"]))


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 200))
def test_the_search_never_misses_a_nested_value(prefix: bytes, suffix: bytes, size: int) -> None:
    nested = AnyValue()
    nested.array_value.values.add(string_value="x" * size)
    hidden = KeyValue(key="k", value=nested).SerializeToString()
    assert may_be_nested(prefix + hidden + suffix)


@given(st.binary(max_size=300), st.sampled_from(["traces", "metrics", "logs"]), st.sampled_from(["json", "protobuf"]))
def test_any_bytes_are_decoded_or_refused(body: bytes, signal: Any, encoding: Any) -> None:
    with suppress(Invalid):
        decoded = decode(signal, body, encoding, now_ns=NOW, retention_ns=DAY, horizon_ns=DAY)
        assert bool(decoded.payload) == bool(decoded.accepted)


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("traceId", "xyz", "resourceSpans[0].scopeSpans[0].spans[0].traceId"),
        ("kind", "SPAN_KIND_SERVER", "resourceSpans[0].scopeSpans[0].spans[0].kind"),
        ("attributes", [{"key": 1}], "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].key"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(field: str, value: Any, place: str) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{field: value}]}]}]}).encode()
    with pytest.raises(Invalid) as refused:
        _decode(body, "json")
    assert refused.value.problem.field == place
