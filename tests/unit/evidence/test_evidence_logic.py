"""What evidence means: which protections count, which have gone stale, which are missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.evidence import ServiceEvidence
from watchbill.features.evidence.logic import LONGEST, MOST_LINES, Declared, fold, judge
from watchbill.features.evidence.model import Line
from watchbill.features.telemetry import SeenEvidence

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DB = Declared("payments-db", "Payments database", frozenset({"payments-db", "pg-payments"}))
FRAUD = Declared("fraud-api", "Fraud", frozenset({"fraud-api"}))


def line(primitive: str, setting: str = "", *, used: float | None = 0, told: float = 0, **more: Any) -> Line:
    """A line used and told so many days ago; ``used`` None: never."""
    given = {"service_name": "checkout", "environment": "production", "dependency": "payments-db", **more}
    return Line(
        primitive=primitive,
        setting=setting,
        used_at=None if used is None else NOW - timedelta(days=used),
        reported_at=NOW - timedelta(days=told),
        first_at=NOW - timedelta(days=100),
        **given,
    )


def judged(*lines: Line, declared: tuple[Declared, ...] = (DB, FRAUD)) -> ServiceEvidence:
    return judge(lines, service="checkout", environment="production", declared=declared, now=NOW)


def test_a_dependency_says_what_protects_it_and_a_declared_one_without_evidence_is_a_gap() -> None:
    found = judged(line("timeout", "0.3s"), line("breaker", "5 failures, 30s"), line("drill", "latency", used=12))
    db, fraud = found.dependencies[1], found.dependencies[0]
    assert (db.answer, db.says) == ("pass", "timeout 0.3s, breaker, drilled 12 days ago")
    assert (fraud.answer, fraud.says) == ("fail", "no timeout seen, no breaker seen, no drill seen")
    assert (found.answer, found.says) == ("fail", "1 of 2 dependencies have gaps")
    assert db.title == "Payments database"


def test_a_dependency_is_known_by_its_name_in_telemetry_too_and_an_undeclared_one_is_shown_as_such() -> None:
    found = judged(line("timeout", dependency="pg-payments"), line("timeout", dependency="mail"), declared=(DB,))
    assert [(one.dependency, one.declared) for one in found.dependencies] == [("payments-db", True), ("mail", False)]


@pytest.mark.parametrize(
    ("lines", "primitive", "answer", "why"),
    [
        ([line("timeout", "1s", used=None)], "timeout", "unknown", "timeout 1s (never used)"),
        ([line("timeout", "1s", used=12)], "timeout", "unknown", "timeout 1s (no call for 12 days)"),
        ([line("breaker", used=9, told=9)], "breaker", "unknown", "breaker (not seen for 9 days)"),
        ([line("breaker", used=9, told=9), line("timeout")], "breaker", "fail", "breaker (not seen for 9 days)"),
        ([line("drill", used=91, told=91), line("timeout")], "drill", "fail", "drilled 91 days ago"),
        ([line("drill", used=60, told=60), line("timeout")], "drill", "pass", "drilled 60 days ago"),
        ([line("drill", used=None)], "drill", "fail", "no drill seen"),
        ([line("timeout", used=30, told=30)], "drill", "unknown", "the service tells nothing"),
        ([line("circuit-breaker")], "breaker", "fail", "no breaker seen"),
    ],
)
def test_each_check_answers_with_its_reason(lines: list[Line], primitive: str, answer: str, why: str) -> None:
    [found] = judged(*lines, declared=(DB,)).dependencies
    [check] = [one for one in found.checks if one.primitive == primitive]
    assert (check.answer, check.why) == (answer, why)


def test_a_service_that_tells_nothing_is_unknown_not_failing() -> None:
    nothing = judged()
    assert (nothing.answer, nothing.says) == ("unknown", "it has told nothing of its protections yet")
    silent = judged(line("timeout", used=20, told=20))
    assert silent.answer == "unknown"
    assert silent.says.startswith("it has told nothing for 20 days")


def test_an_older_setting_is_no_longer_in_force_and_two_told_together_both_are() -> None:
    [found] = judged(line("timeout", "2s", told=1), line("timeout", "1s"), declared=(DB,)).dependencies
    assert found.protections[0].says == "timeout 1s"
    [found] = judged(line("timeout", "2s"), line("timeout", "1s"), declared=(DB,)).dependencies
    assert found.protections[0].says == "timeout 1s and 2s"


def test_a_limiter_is_the_services_own_and_what_cannot_be_read_is_a_problem() -> None:
    found = judged(
        line("limiter", dependency="server"),
        line("timeout", dependency=""),
        line("breaker", senseless=True),
        line("circuit-breaker"),
        declared=(),
    )
    assert [one.says for one in found.own] == ["limiter"]
    assert found.problems == [
        "a line without a dependency, timeout: set reliability.dependency and reliability.primitive",
        "payments-db, breaker: the value is no Unix time in seconds",
        "payments-db, circuit-breaker: the contract knows no such primitive; it answers no question",
    ]


def seen(minutes: float = 0, *, used: float | None = 0, **more: Any) -> SeenEvidence:
    """Told and used so many minutes after NOW."""
    given = {
        "service_name": "checkout", "environment": "production", "dependency": "db", "primitive": "timeout",
        "setting": "1s", **more,
    }  # fmt: skip
    used_at = None if used is None else NOW + timedelta(minutes=used)
    return SeenEvidence(used_at=used_at, reported_at=NOW + timedelta(minutes=minutes), **given)


def test_seeing_the_same_again_writes_nothing_until_ten_minutes_have_passed() -> None:
    [first] = fold({}, [seen()]).write
    known = {first.key: first}
    assert fold(known, [seen()]) == ([], [], [], [])
    assert fold(known, [seen(5, used=5)]).write == []
    [later] = fold(known, [seen(11, used=11)]).write
    assert (later.reported_at, later.first_at) == (NOW + timedelta(minutes=11), NOW)


def test_a_restarted_process_that_has_not_called_yet_does_not_undo_what_was_seen() -> None:
    [first] = fold({}, [seen()]).write
    [later] = fold({first.key: first}, [seen(30, used=None)]).write
    assert later.used_at == NOW


def test_blows_of_one_drill_are_one_drill() -> None:
    known = {}
    drills = 0
    for minutes in (0, 11, 60, 600):
        found = fold(known, [seen(minutes, used=minutes, primitive="drill", setting="latency")])
        drills += len(found.drilled)
        known.update({one.key: one for one in found.write})
    assert drills == 2


def test_names_without_end_do_not_fill_the_table() -> None:
    found = fold({}, [seen(dependency=f"order-{number}") for number in range(MOST_LINES + 7)])
    assert (len(found.write), len(found.refused)) == (MOST_LINES, 7)
    [one] = fold({}, [seen(dependency="d" * 500), seen(dependency="d" * 400)]).write
    assert len(one.dependency) == LONGEST


@given(st.lists(st.tuples(st.integers(0, 5000), st.one_of(st.none(), st.integers(0, 5000))), max_size=30))
def test_times_only_move_forward_whatever_the_order_of_arrival(told: list[tuple[int, int | None]]) -> None:
    known: dict[tuple[str, ...], Line] = {}
    for minutes, used in told:
        for one in fold(known, [seen(minutes, used=used)]).write:
            before = known.get(one.key)
            if before is not None:
                assert one.reported_at >= before.reported_at
                assert before.used_at is None or (one.used_at is not None and one.used_at >= before.used_at)
            known[one.key] = one
    for one in known.values():
        answers = judged(msgspec.structs.replace(one, dependency="payments-db"), declared=(DB,))
        assert answers.answer in ("fail", "unknown")
