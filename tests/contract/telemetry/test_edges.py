"""Who calls whom, from real spans in a real ClickHouse."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.contract.telemetry.test_counts import MINUTE
from watchbill.features.telemetry import Edges, GetEdges, TelemetryStore, asking

CLIENT, SERVER = 3, 2


def a_trace(*calls: tuple[str, str], failed: bool = False, peer: str | None = None) -> bytes:
    """One trace: its root serves in the first caller; each call is a client span and the server span it meets."""
    request = ExportTraceServiceRequest()
    trace_id = uuid4().bytes
    served: dict[str, bytes] = {}

    def span(service: str, kind: int, parent: bytes) -> bytes:
        of = request.resource_spans.add()
        pair = of.resource.attributes.add()
        pair.key, pair.value.string_value = "service.name", service
        one = of.scope_spans.add().spans.add()
        one.trace_id, one.span_id, one.parent_span_id, one.kind = trace_id, uuid4().bytes[:8], parent, kind
        one.name = "GET /"
        one.start_time_unix_nano = int(MINUTE.timestamp()) * 1_000_000_000
        one.end_time_unix_nano = one.start_time_unix_nano + 1_000_000
        one.status.code = 2 if failed else 0
        return one.span_id

    served[calls[0][0]] = span(calls[0][0], SERVER, b"")
    for caller, callee in calls:
        served[callee] = span(callee, SERVER, span(caller, CLIENT, served[caller]))
    if peer is not None:
        span(calls[-1][1], CLIENT, served[calls[-1][1]])
        attribute = request.resource_spans[-1].scope_spans[0].spans[0].attributes.add()
        attribute.key, attribute.value.string_value = "peer.service", peer
    return request.SerializeToString()


def test_edges_are_those_of_traces_through_the_symptom_failed_and_not(store: TelemetryStore) -> None:
    good = [a_trace(("front", "middle"), ("middle", "back")) for _ in range(5)]
    bad = [a_trace(("front", "middle"), ("front", "side"), failed=True, peer="card-network") for _ in range(3)]
    elsewhere = [a_trace(("apart", "back"))]
    store.insert_traces([*good, *bad, *elsewhere, good[0]])

    def ask(name: str, limit: int = 200) -> Edges:
        question = GetEdges(
            service_names=[name],
            environment="production",
            start_at=MINUTE - timedelta(minutes=1),
            end_at=MINUTE + timedelta(minutes=1),
            limit=limit,
        )
        found: Edges = asking.answer(store.engine, question)
        return found

    found = ask("middle")
    assert found.traces == 8
    assert [(each.caller, each.callee, each.traces) for each in found.edges] == [
        ("front", "middle", 8),
        ("middle", "back", 5),
        ("front", "side", 3),
        ("side", "card-network", 3),
    ]
    assert ask("middle", limit=1).traces == 2  # one that failed, one that did not
    assert ask("nobody") == Edges(traces=0, edges=[])
