"""Storms, throttles and pauses, as pure decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.paging.answers import read_reply
from watchbill.features.paging.sending import (
    STORM_AFTER,
    STORM_WINDOW,
    Recent,
    hold_until,
    take_slot,
    wait_before_retry,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 240), st.integers(1, 4)), max_size=60),
)
def test_in_a_storm_the_first_of_a_service_goes_at_once_nothing_is_lost_and_nothing_waits_over_a_minute(
    arrivals: list[tuple[int, int]],
) -> None:
    """Arrivals (second, service) through the very rule the pager uses; a message takes along what is held."""
    recent: list[Recent] = []
    held: list[tuple[int, int, datetime]] = []
    delivered: list[tuple[int, int, datetime]] = []

    def send(second: int, service: int, at: datetime) -> None:
        recent.append(Recent(at=at, about=UUID(int=service), led=True))
        delivered.append((second, service, at))
        for each in held:
            recent.append(Recent(at=at, about=UUID(int=each[1]), led=False))
            delivered.append((each[0], each[1], at))
        held.clear()

    for second, service in sorted(arrivals):
        at = NOW + timedelta(seconds=second)
        while held and min(until for *_, until in held) <= at:
            first = min(held, key=lambda each: each[2])
            held.remove(first)
            again = hold_until(now=first[2], about=UUID(int=first[1]), recent=recent)
            assert again is None, "what waited as long as it was told is not told to wait again"
            send(first[0], first[1], first[2])
        until = hold_until(now=at, about=UUID(int=service), recent=recent)
        told = [sent for sent in recent if sent.about == UUID(int=service) and at - STORM_WINDOW < sent.at]
        if not told:
            assert until is None, "the first about a service is never held"
        if until is None:
            send(second, service, at)
        else:
            assert at < until <= at + STORM_WINDOW
            held.append((second, service, until))
    while held:
        first = min(held, key=lambda each: each[2])
        held.remove(first)
        send(first[0], first[1], first[2])
    assert sorted((second, service) for second, service, _ in delivered) == sorted(arrivals)
    assert all(at - (NOW + timedelta(seconds=second)) <= STORM_WINDOW for second, _, at in delivered)


def test_a_storm_begins_after_three_messages_within_the_minute() -> None:
    service = uuid4()
    sent = [Recent(at=NOW - timedelta(seconds=ago), about=service, led=True) for ago in (50, 20, 10)]
    assert hold_until(now=NOW, about=service, recent=sent[1:]) is None
    assert hold_until(now=NOW, about=service, recent=sent) == NOW + timedelta(seconds=10)
    carried = [*sent[1:], Recent(at=NOW - timedelta(seconds=5), about=service, led=False)]
    assert hold_until(now=NOW, about=service, recent=carried) is None, "what another message carried is no message"
    assert STORM_AFTER == 3


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 2000), min_size=1, max_size=80),
    per_second=st.sampled_from([0.5, 1.0, 4.0, 10.0]),
    burst=st.integers(1, 10),
)
def test_a_throttled_channel_takes_the_burst_then_keeps_its_rate_and_drops_nothing(
    gaps: list[int], per_second: float, burst: int
) -> None:
    at, next_at, slots = NOW, NOW, []
    for gap in gaps:
        at += timedelta(milliseconds=gap)
        slot = take_slot(now=at, next_at=next_at, per_second=per_second, burst=burst)
        assert slot.at >= at
        next_at = slot.next_at
        slots.append(slot.at)
    assert len(slots) == len(gaps)
    for first in range(len(slots) - burst):
        taken = (slots[first + burst] - slots[first]).total_seconds()
        assert taken >= 1 / per_second - 1e-5, "no more than the burst within one interval"


def test_pauses_grow_jitter_and_heed_the_provider() -> None:
    key = uuid4()
    waits = [wait_before_retry(attempts=n, key=key) for n in range(1, 6)]
    assert waits[-1] is None
    for wait, base in zip(waits[:4], (5, 10, 20, 40), strict=True):
        assert wait is not None
        assert timedelta(seconds=base) <= wait <= timedelta(seconds=base * 1.2)
    assert len({wait_before_retry(attempts=1, key=uuid4()) for _ in range(20)}) > 10, "they do not come back together"
    assert wait_before_retry(attempts=1, key=key, retry_after_seconds=90) == timedelta(seconds=90)
    assert wait_before_retry(attempts=1, key=key, retry_after_seconds=1e9) == timedelta(minutes=10)


def test_a_text_reply_is_understood_as_people_type_it() -> None:
    for text in ("ack 12", "ACK #12", " a 12.", "Acknowledge: 12"):
        reply = read_reply(text)
        assert reply is not None
        assert (reply.action, reply.number) == ("acknowledge", 12)
    assert read_reply("resolve 7").action == "resolve"  # type: ignore[union-attr]  # understood
    assert read_reply("ack all").everything  # type: ignore[union-attr]  # understood
    assert read_reply("ack").number is None  # type: ignore[union-attr]  # understood
    for text in ("", "stop", "acknowledging your mail", "ack twelve", "ack 12 and more", "ack " + "9" * 40):
        assert read_reply(text) is None
