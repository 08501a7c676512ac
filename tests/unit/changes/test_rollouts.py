"""What a Deployment shows, step by step: what is told, and that nothing is told twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.changes import Change
from watchbill.features.changes.rollouts import (
    KnownDeployment,
    MissedRollout,
    SeenDeployment,
    Template,
    judge,
    missed,
    missed_steps,
)
from watchbill.features.changes.sameness import same_deploy, same_version

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def seen(generation: int, version: str, *, done: bool = True, **other: object) -> SeenDeployment:
    shown = SeenDeployment(
        uid="u1",
        namespace="shop",
        name="payments",
        generation=generation,
        observed_generation=generation,
        template=f"digest of {version}",
        revision=generation,
        wanted=3,
        updated=3 if done else 1,
        total=3 if done else 4,
        available=3,
        names=("payments",),
        version=version,
        images=(f"registry/payments:{version}",),
    )
    return msgspec.structs.replace(shown, **other)


def told(known: KnownDeployment | None, *sights: SeenDeployment, first: bool = False) -> tuple[KnownDeployment, list]:
    steps: list = []
    for one in sights:
        judged = judge(known, one, cluster="c", first_look=first, now=NOW)
        known, first = judged.known, False
        steps += judged.steps
    assert known is not None
    return known, steps


def test_what_stands_there_when_the_watch_is_switched_on_is_no_deploy() -> None:
    assert told(None, seen(1, "v1"), first=True)[1] == []
    assert [step.told for step in told(None, seen(1, "v1", done=False), first=True)[1]] == ["started"]
    assert [step.told for step in told(None, seen(1, "v1"))[1]] == ["started", "finished"]


def test_pods_that_are_down_when_the_watch_is_switched_on_are_no_rollout() -> None:
    crashing = seen(7, "v1", available=1, progressing_reason="NewReplicaSetAvailable")
    known, steps = told(None, crashing, first=True)
    assert steps == []
    going_back = seen(8, "v0", done=False, progressing_reason="NewReplicaSetAvailable")
    assert [step.told for step in told(known, going_back)[1]] == ["started"], "the reason is the one of before"


def test_a_rollout_starts_with_the_template_and_ends_when_every_pod_is_new_and_available() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    unseen = seen(2, "v2", observed_generation=1)  # the figures are still of the old one: they mean nothing
    _, steps = told(known, unseen, seen(2, "v2", done=False), seen(2, "v2", total=4), seen(2, "v2"), seen(2, "v2"))
    assert [(step.told, step.version, step.previous) for step in steps] == [
        ("started", "v2", "v1"),
        ("finished", None, None),
    ]


def test_scaling_and_new_defaults_of_a_release_of_kubernetes_are_no_deploys() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    scaled = seen(2, "v1", wanted=5)
    defaulted = seen(2, "v1", template="digest of v1 with a new field", wanted=5, updated=5, available=5, total=5)
    after, steps = told(known, scaled, defaulted)
    assert steps == []
    assert [one.version for one in after.templates] == ["v1"]


def test_a_deadline_that_passed_is_a_failure_and_a_late_success_is_told_too() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    stuck = seen(2, "v2", done=False, progressing_reason="ProgressDeadlineExceeded", progressing_message="no progress")
    after, steps = told(known, stuck, stuck)
    assert [step.told for step in steps] == ["started", "failed"]
    assert "no progress" in steps[1].why
    assert [step.told for step in told(after, seen(2, "v2"))[1]] == ["finished"]


def test_a_rollout_replaced_by_another_is_cancelled_and_one_taken_back_is_a_rollback() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    after, steps = told(known, seen(2, "v2", done=False), seen(3, "v3", done=False), seen(4, "v1"))
    assert [(step.told, step.kind) for step in steps if step.told != "finished"] == [
        ("started", "deploy"),
        ("cancelled", "deploy"),
        ("started", "deploy"),
        ("cancelled", "deploy"),
        ("started", "rollback"),
    ]
    again = told(after, seen(5, "v3"))[1]
    assert (again[0].kind, again[0].previous) == ("deploy", "v1")


def test_a_template_of_the_same_images_is_a_change_of_configuration() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    assert told(known, seen(2, "v1", template="restarted"))[1][0].kind == "config"


def test_what_came_and_went_unseen_is_told_from_its_replica_sets() -> None:
    known, _ = told(None, seen(1, "v1"), first=True)
    back = seen(4, "v4")
    assert list(missed(known, back)) == [2, 3]
    found = [
        MissedRollout(revision=n, template=Template(digest=f"digest of v{n}", version=f"v{n}"), began_at=NOW)
        for n in (3, 2)
    ]
    steps = missed_steps(known, found, since=NOW - timedelta(hours=1))
    assert [(step.version, step.previous) for step in steps] == [("v2", "v1"), ("v3", "v2")]
    there_and_back = judge(known, seen(3, "v1"), cluster="c", first_look=False, now=NOW)
    assert [step.told for step in there_and_back.steps] == ["started", "finished"]


sights = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["v1", "v2", "v3"]), st.booleans(), st.booleans()), max_size=12
)


@given(sights)
def test_every_start_ends_once_and_the_same_sight_twice_is_no_news(steps: list[tuple[int, str, bool, bool]]) -> None:
    known: KnownDeployment | None = None
    generation, version, opened = 1, "v1", 0
    for rise, wanted, done, deadline in [(0, "v1", True, False), *steps]:
        generation += rise
        version = wanted if rise else version
        shown = seen(generation, version, done=done, progressing_reason="ProgressDeadlineExceeded" if deadline else "")
        judged = judge(known, shown, cluster="c", first_look=known is None, now=NOW)
        for step in judged.steps:
            opened += {"started": 1, "cancelled": -1, "failed": -1}.get(step.told, 0)
            if step.told == "finished" and opened:
                opened -= 1
            assert 0 <= opened <= 1
        known = judged.known
        assert judge(known, shown, cluster="c", first_look=False, now=NOW).steps == ()
        assert (known.state == "rolling") == (opened == 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("v1.4", "1.4", True),
        ("84f2c1d", "84f2c1d09b7e5a", True),
        ("main@sha1:84f2c1d09b7e5a", "84f2c1d0", True),
        ("1.4", "1.40", False),
        ("84f2c1d", "94f2c1d", False),
        ("version", "ersion", False),
        (None, "v1", False),
    ],
)
def test_versions_are_the_same_however_they_are_spelled(one: str | None, other: str | None, same: bool) -> None:
    assert same_version(one, other) is same
    assert same_version(other, one) is same


def change(version: str | None, start: int, end: int | None, *, source: str = "api", kind: str = "deploy") -> Change:
    """Said to begin and end so many minutes from nine."""
    began, ended = NOW + timedelta(minutes=start), None if end is None else NOW + timedelta(minutes=end)
    return msgspec.convert(
        {
            "id": uuid4(),
            "service_id": None,
            "service_name": "payments",
            "environment": "production",
            "kind": kind,
            "state": "started" if ended is None else "finished",
            "title": "",
            "version": version,
            "previous_version": None,
            "commits": [],
            "author": None,
            "approver": None,
            "reversible": "unknown",
            "is_fix": False,
            "started_at": began,
            "finished_at": ended,
            "last_at": ended or began,
            "start_seen": True,
            "source": source,
            "integration_id": uuid4(),
            "external_id": "x",
            "links": [],
            "inferred": False,
            "note": "",
            "committed_at": None,
            "rolled_back_by": None,
            "created_at": began,
            "updated_at": began,
        },
        Change,
    )


def test_the_same_deploy_is_known_by_version_or_by_being_near() -> None:
    at = NOW
    assert not same_deploy(change("v2", -400, -390), version="2", at=at)
    assert same_deploy(change("v2", -60, -50), version="v2", at=at)
    assert not same_deploy(change("v2", -60, -50), version="v2", at=at, later=[change("v3", -30, -20)])
    assert same_deploy(change(None, -60, None), version="v2", at=at)
    assert not same_deploy(change(None, -60, -50), version="v2", at=at)
    assert same_deploy(change("1.4.0", -20, None), version="84f2c1d", at=at), "a pipeline is at work"
    assert not same_deploy(change("1.4.0", -45, None), version="84f2c1d", at=at)
    assert not same_deploy(change("1.4.0", -20, -10), version="84f2c1d", at=at)
    assert not same_deploy(change("v2", -60, -50), version="v2", kind="config", at=at)
    assert same_deploy(change("v2", -5, -4), version="v2", kind="config", at=at)
