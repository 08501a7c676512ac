"""What an event does to an alert: nothing is dropped, and the past never undoes the present."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import hypothesis.strategies as st
from hypothesis import given

from watchbill.features.alerts import logic
from watchbill.features.alerts.model import AlertState, Event

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
states = st.sampled_from([None, "firing", "stale", "held"])
instants = st.integers(-10_000, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
events = st.builds(
    Event,
    identity=st.just("a"),
    title=st.text(max_size=5),
    action=st.sampled_from(["trigger", "resolve"]),
    occurred_at=st.none() | instants,
)
labels = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=6)


@given(states, instants, events)
def test_every_event_has_an_outcome_with_a_reason(state: Any, source_at: datetime, event: Event) -> None:
    """paged.never_dropped"""
    decision = logic.decide(state, source_at if state else None, event, NOW)
    assert decision.reason
    assert decision.state in (None, *get_args(AlertState))
    if event.action == "trigger":
        assert decision.outcome in ("opened", "refreshed"), "a trigger is never dropped"
        assert decision.state in ("firing", "held")
    else:
        assert decision.outcome in ("resolved", "ignored")


@given(states.filter(bool), instants, events)
def test_an_older_resolve_never_closes_a_newer_trigger(state: Any, source_at: datetime, event: Event) -> None:
    """alert.order"""
    decision = logic.decide(state, source_at, event, NOW)
    older = event.occurred_at is not None and event.occurred_at < source_at
    if event.action == "resolve":
        assert (decision.outcome == "ignored") == older
        assert decision.state == (state if older else "resolved")


@given(instants, events)
def test_a_resolve_for_nothing_is_a_no_op_and_a_trigger_opens_an_episode(at: datetime, event: Event) -> None:
    """alert.none_resolved, alert.episode"""
    decision = logic.decide(None, None, event, at)
    assert decision.outcome == ("opened" if event.action == "trigger" else "ignored")


@given(instants, instants)
def test_a_hold_ends_firing_only_when_the_source_fired_after_it_began(held_at: datetime, last: datetime) -> None:
    """alert.held"""
    assert logic.after_hold(held_at, last) == ("firing" if last > held_at else "resolved")


@given(instants, instants, st.none() | instants)
def test_our_own_downtime_only_ever_delays_staleness(
    expires_at: datetime, last: datetime, resumed: datetime | None
) -> None:
    """alert.stale"""
    due = logic.stale_due(expires_at, last, resumed)
    assert due >= expires_at
    if resumed is not None and resumed > last:
        assert due >= resumed + (expires_at - last), "the source has its whole allowance again"
    else:
        assert due == expires_at


@given(labels, st.randoms())
def test_the_identity_of_labels_does_not_depend_on_order_or_on_empty_labels(
    given_: dict[str, str], random: Any
) -> None:
    """alert.identity"""
    shuffled = list(given_.items())
    random.shuffle(shuffled)
    full = {name: value for name, value in given_.items() if value}
    assert logic.identity_of_labels(dict(shuffled)) == logic.identity_of_labels(full)


@given(labels, labels)
def test_different_labels_are_different_alerts(one: dict[str, str], other: dict[str, str]) -> None:
    """alert.identity"""
    same = {k: v for k, v in one.items() if v} == {k: v for k, v in other.items() if v}
    assert (logic.identity_of_labels(one) == logic.identity_of_labels(other)) == same


@given(st.lists(st.builds(Event, identity=st.text(), action=st.just("trigger"), title=st.text(), labels=labels)))
def test_events_keep_every_character_that_can_be_stored(given_: list[Event]) -> None:
    stored = logic.storable(given_)
    assert [event.title for event in stored] == [event.title.replace("\0", "\ufffd") for event in given_]
    assert not any("\0" in name + value for event in stored for name, value in event.labels.items())


def test_times_and_links_survive_the_cleaning() -> None:
    event = Event(identity="a\0", action="trigger", title="t", occurred_at=NOW, expires_at=NOW)
    (stored,) = logic.storable((event,))
    assert (stored.identity, stored.occurred_at, stored.expires_at) == ("a\ufffd", NOW, NOW)
    assert logic.storable((stored,)) == (stored,)
