"""What a replay is worth against recorded incidents, and which target history leaves room for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.slo.judging import ROOM, Happened, judge, propose
from watchbill.features.slo.replay import Told

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = int(NOON.timestamp()) // 60


def page(fired: int, until: int | None) -> Told:
    end = None if until is None else MINUTE + until
    return Told(tier="page", onset=MINUTE + fired - 3, fired=MINUTE + fired, until=end)


def incident(number: int, start: int, end: int | None) -> Happened:
    at = [None if minute is None else NOON + timedelta(minutes=minute) for minute in (start, end)]
    assert at[0] is not None
    return Happened(number=number, start_at=at[0], end_at=at[1])


def test_pages_near_an_incident_are_true_and_an_incident_without_one_was_missed() -> None:
    judged = judge(
        [page(0, 30), page(600, 610), Told(tier="ticket", onset=MINUTE, fired=MINUTE + 700, until=None)],
        [incident(7, 10, 60), incident(8, 1000, 1100), incident(9, 620, None)],
        slice_seconds=60,
    )
    assert (judged.pages, judged.tickets) == (2, 1)
    assert [alert.incidents for alert in judged.alerts] == [[7], [9], [8, 9]]
    assert (judged.precision, judged.recall) == (1.0, 2 / 3)
    assert judged.median_detection_seconds == 4 * 60


def test_without_pages_or_incidents_there_is_nothing_to_divide_by() -> None:
    judged = judge([], [], slice_seconds=60)
    assert (judged.precision, judged.recall, judged.median_detection_seconds) == (None, None, None)


def test_nobody_can_promise_more_than_what_it_stands_on() -> None:
    target, why = propose(0.0, dependencies=[("ledger", Decimal("99.9"))])
    assert target == Decimal("99.9")
    assert "you cannot promise 99.95" in why
    assert propose(0.0, dependencies=[("ledger", Decimal("99.9")), ("vault", Decimal("99.9"))])[0] == Decimal("99.5")
    assert propose(0.5, dependencies=[])[0] is None
    assert propose(0.0, dependencies=[("vault", Decimal(50))])[0] is None


@given(st.floats(0, 1), st.lists(st.decimals(Decimal("90"), Decimal("99.999"), places=3), max_size=3))
def test_a_proposal_leaves_room_and_keeps_within_its_dependencies(worst: float, promised: list[Decimal]) -> None:
    target, why = propose(worst, dependencies=[(f"service {n}", value) for n, value in enumerate(promised)])
    assert why
    if target is not None:
        assert worst <= ROOM * float(1 - target / 100)
        bound = Decimal(1)
        for value in promised:
            bound *= value / 100
        assert target / 100 <= bound
