"""What Prometheus sends becomes events, and whatever else is sent becomes an error with words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from watchbill.features.alerts import Event
from watchbill.intake.prometheus import RESOLVE_TIMEOUT, Parsed, parse
from watchbill.kernel.errors import Invalid

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CAPTURED = Path(__file__).parents[4] / "shared" / "fixtures" / "intake" / "prometheus_notifier_body.json"


def one(now: datetime = NOW, **more: Any) -> Event:
    alert = {"labels": {"alertname": "HighLatency", "service": "payments"}, **more}
    (event,) = parse(json.dumps([alert]).encode(), now=now).events
    return event


def test_a_future_end_is_an_expiry_and_the_alert_fires() -> None:
    event = one(startsAt="2026-03-02T08:59:00Z", endsAt="2026-03-02T09:04:00Z")
    assert event.action == "trigger"
    assert event.expires_at == NOW + timedelta(minutes=4)
    assert event.occurred_at == NOW - timedelta(minutes=1)


def test_a_past_end_resolves() -> None:
    event = one(startsAt="2026-03-02T08:00:00Z", endsAt="2026-03-02T08:59:59.123456789Z")
    assert event.action == "resolve"
    assert event.expires_at is None
    assert event.occurred_at is not None
    assert event.occurred_at < NOW


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", None])
def test_gos_zero_time_is_no_time(zero: str | None) -> None:
    event = one(startsAt=zero, endsAt=zero)
    assert event.action == "trigger"
    assert event.occurred_at == NOW
    assert event.expires_at == NOW + RESOLVE_TIMEOUT


def test_empty_labels_are_the_same_as_none_and_the_identity_is_the_label_set() -> None:
    """alert.identity"""
    plain = one()
    padded = one(labels={"service": "payments", "empty": "", "alertname": "HighLatency"}, annotations={"a": ""})
    assert padded.labels == {"alertname": "HighLatency", "service": "payments"}
    assert padded.annotations == {}
    assert plain.identity == padded.identity
    assert one(annotations={"summary": "another text"}).identity == plain.identity
    assert one(labels={"alertname": "HighLatency", "service": "search"}).identity != plain.identity


def test_label_names_and_values_may_be_any_utf_8() -> None:
    event = one(labels={"alertname": "Größe", "région.été": "☃", "service": "zahlung"})
    assert event.labels["région.été"] == "☃"
    assert event.title == "Größe on zahlung"


@pytest.mark.parametrize(
    ("labels", "urgency"),
    [
        ({"severity": "page"}, "page"),
        ({"severity": "critical"}, "page"),
        ({}, "page"),
        ({"severity": "something of our own"}, "page"),
        ({"severity": "warning"}, "ticket"),
        ({"severity": "info"}, "ticket"),
        ({"severity": "warning", "urgency": "page"}, "page"),
    ],
)
def test_what_is_not_known_to_be_mild_pages(labels: dict[str, str], urgency: str) -> None:
    """page.urgency"""
    assert one(labels={"alertname": "A", **labels}).urgency == urgency


def test_only_web_links_are_kept() -> None:
    event = one(generatorURL="javascript:alert(1)", annotations={"runbook_url": "https://runbooks.example/a"})
    assert [link.url for link in event.links] == ["https://runbooks.example/a"]


def test_a_bad_alert_does_not_spoil_its_neighbours() -> None:
    good = {"labels": {"alertname": "A"}}
    bad: list[Any] = [
        {"labels": {}},
        {"labels": {"a": ""}},
        {"annotations": {}},
        7,
        {"labels": {"a": 1}},
        {"labels": {"a": "b"}, "endsAt": "soon"},
        {"labels": {"a": "b"}, "endsAt": "2026-03-02T09:04:00"},
        {"labels": {"a": "b"}, "endsAt": "9999-12-31T23:59:59-05:00"},
    ]
    parsed = parse(json.dumps([good, *bad, good]).encode(), now=NOW)
    assert len(parsed.events) == 2
    assert [problem.field for problem in parsed.problems] == [f"[{n}]" for n in range(1, len(bad) + 1)]
    assert all(problem.message for problem in parsed.problems)


@pytest.mark.skipif(not CAPTURED.exists(), reason="the captured bodies are not beside this checkout")
def test_a_body_captured_from_prometheus_fires_and_later_counts_as_resolved() -> None:
    body = CAPTURED.read_bytes()
    (firing,) = parse(body, now=datetime(2024, 5, 1, 10, 1, tzinfo=UTC)).events
    assert (firing.action, firing.title, firing.urgency) == ("trigger", "High latency", "page")
    assert firing.expires_at == datetime(2024, 5, 1, 10, 4, 0, 123000, tzinfo=UTC)
    (ended,) = parse(body, now=datetime(2024, 5, 1, 10, 5, tzinfo=UTC)).events
    assert ended.action == "resolve"
    assert ended.identity == firing.identity


def parsed_or_invalid(body: bytes) -> Parsed | None:
    """None for the one error a sender may see; any other fails the test."""
    try:
        return parse(body, now=NOW)
    except Invalid:
        return None


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_invalid(body: bytes) -> None:
    parsed_or_invalid(body)


words = st.text(max_size=20) | st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2026-03-02T09Z"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
shaped = st.fixed_dictionaries(
    {"labels": st.dictionaries(words, words, max_size=4) | values},
    optional={
        "annotations": values,
        "startsAt": words | st.datetimes().map(str),
        "endsAt": words,
        "generatorURL": values,
    },
)


@given(st.lists(shaped | values, max_size=4))
def test_no_json_raises_and_each_alert_is_an_event_or_a_problem(alerts: list[Any]) -> None:
    parsed = parsed_or_invalid(json.dumps(alerts).encode())
    if parsed is not None:
        assert len(parsed.events) + len(parsed.problems) == len(alerts)
