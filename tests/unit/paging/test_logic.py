"""Escalation never runs out of an answer, and a shadow never stops a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import given

from watchbill.features.paging import logic
from watchbill.features.paging.model import EscalationPolicy, Step
from watchbill.features.paging.policy import policy_of

names = st.sampled_from(["on-call", "next-on-call", "team", "leads", "person:alice@example.org"])
steps = st.builds(Step, notify=st.lists(names, min_size=1, max_size=3).map(tuple), wait_seconds=st.integers(1, 86_400))
policies = st.builds(
    EscalationPolicy,
    steps=st.lists(steps, max_size=6).map(tuple),
    repeat_last=st.integers(0, 10),
    fallback_wait_seconds=st.integers(1, 3600),
)
people = st.sampled_from([UUID(int=number) for number in range(6)])
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@given(policies, st.integers(0, 10_000))
def test_every_step_has_an_answer_that_notifies_somebody_and_waits(policy: EscalationPolicy, step: int) -> None:
    """page.escalating"""
    found = logic.next_step(policy, step)
    assert found.number == step
    assert found.notify
    assert found.wait > timedelta(0)
    assert found.repeat >= 0


@given(policies)
def test_the_steps_come_in_order_then_the_last_repeats_then_the_fallback_stays(policy: EscalationPolicy) -> None:
    """page.escalating"""
    own = len(policy.steps)
    end = own + policy.repeat_last if own else 0
    taken = [logic.next_step(policy, number) for number in range(end + 5)]
    assert [step.notify for step in taken[:own]] == [step.notify for step in policy.steps]
    assert all(step.notify == policy.steps[-1].notify for step in taken[own:end])
    assert all(not step.fallback for step in taken[:end])
    assert all(step.fallback and step.notify == ("fallback",) for step in taken[end:])


@given(policies)
def test_with_nobody_reachable_each_step_is_tried_once_and_then_the_fallback(policy: EscalationPolicy) -> None:
    """page.escalating"""
    step, tried = 0, 0
    while not logic.next_step(policy, step).fallback:
        following = logic.step_after_unreachable(policy, step)
        assert following > step
        step, tried = following, tried + 1
    assert tried == len(policy.steps)


@given(
    people,
    st.frozensets(people),
    st.dictionaries(people, st.sampled_from(["lead", "member", "shadow"])),
    st.frozensets(people),
)
def test_a_shadow_never_acknowledges_and_an_outsider_neither(
    person: UUID, notified: frozenset[UUID], members: dict[UUID, str], responders: frozenset[UUID]
) -> None:
    """page.may_acknowledge"""
    why = logic.may_acknowledge(person_id=person, notified=notified, members=members, responders=responders)
    if members.get(person) == "shadow":
        assert why is None
    else:
        assert (why is not None) == (person in notified or person in members or person in responders)


def test_tries_are_spaced_wider_and_wider_and_end() -> None:
    """notification.queued"""
    waits = [logic.retry_after(attempts) for attempts in range(1, logic.ATTEMPTS + 3)]
    counted = [wait for wait in waits if wait is not None]
    assert counted == sorted(counted)
    assert len(counted) == logic.ATTEMPTS - 1
    assert waits[logic.ATTEMPTS - 1 :] == [None, None, None]
    assert sum(counted, timedelta(0)) < timedelta(minutes=5), "a broken channel is known before the next step"


@given(st.integers(0, 20))
def test_a_persons_methods_are_tried_in_order_and_the_first_at_once(methods: int) -> None:
    times = logic.send_times(methods, NOW)
    assert len(times) == methods
    assert times == sorted(set(times))
    assert times[:1] == [NOW][:methods]


@given(st.sampled_from(["production", "staging", "dev"]), st.sampled_from(["page", "ticket"]))
def test_only_urgency_page_in_production_pages(environment: str, urgency: str) -> None:
    """alert.muted, page.ticket"""
    muted = logic.muted_because(environment=environment, urgency=urgency)
    assert (muted is None) == (environment == "production" and urgency == "page")


def test_what_a_manifest_leaves_out_is_the_default() -> None:
    assert policy_of(None) == EscalationPolicy()
    assert policy_of({"repeatLast": 0}).repeat_last == 0
    policy = policy_of({"steps": [{"notify": ["leads"], "wait": "90s"}, {}], "acknowledgeFor": "1h"})
    assert [(step.notify, step.wait_seconds) for step in policy.steps] == [(("leads",), 90), (("on-call",), 300)]
    assert policy.acknowledge_for_seconds == 3600
