"""Applying manifests to a real catalog: a plan, one transaction, permanent ids, and nothing when nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.features import catalog, identity, oncall, paging
from watchbill.kernel.errors import Conflict, Invalid
from watchbill.kernel.ids import new_id
from watchbill.manifest import File, Options, Outcome, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

Apply = Callable[..., Outcome]

TEAM = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  members: [alice@example.org, bob@example.org]
"""
SERVICE = """\
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-api}
spec:
  owner: payments
  operations:
    - name: charge card
"""
BOTH = f"{TEAM}---\n{SERVICE}"


@pytest.fixture
def apply(db: Database) -> Apply:
    def run(*texts: str, source: str = "shop", **options: Any) -> Outcome:
        files = [File(path=f"{number}.yaml", text=text) for number, text in enumerate(texts)]
        with db.transaction() as tx:
            return apply_files(tx, files=files, options=Options(source=source, **options), actor=ledger.system("test"))

    return run


def lines(outcome: Outcome) -> list[tuple[str, str]]:
    return [(action.verb, action.name) for action in outcome.actions]


def ledger_names(db: Database) -> list[str]:
    with db.transaction() as tx:
        return [
            row.name for row in tx.execute(sa.select(ledger.ledger_entry.c.name).order_by(ledger.ledger_entry.c.id))
        ]


def many(count: int) -> str:
    return "---\n".join([TEAM, *(SERVICE.replace("payments-api", f"service-{n}") for n in range(count))])


def test_twenty_lines_give_a_team_that_is_on_call_and_a_service_with_an_objective(db: Database, apply: Apply) -> None:
    outcome = apply(BOTH)
    assert (lines(outcome), outcome.applied, [each.code for each in outcome.warnings]) == (
        [("add", "payments"), ("add", "payments-api")],
        True,
        ["paging.no_last_resort"],
    )
    with db.transaction() as tx:
        service = catalog.service_by_name(tx, name="payments-api")
        assert service is not None
        owner = catalog.team(tx, id=service.team_id)
        shift = oncall.who_is_on_call(tx, team_id=owner.id, at=tx.now)
        assert shift is not None
        person = identity.person_by_id(tx, person_id=shift.person_id)
        assert person.login in {"alice@example.org", "bob@example.org"}
        assert len(paging.policy_of(owner.spec.get("escalation")).steps) == 3
        assert [str(row.target) for row in tx.execute(sa.text("SELECT target FROM slo"))] == ["99.5"]


def test_applying_again_changes_nothing_and_writes_no_ledger_entry(db: Database, apply: Apply) -> None:
    apply(BOTH)
    before = ledger_names(db)
    again = apply("# only the layout differs\n" + SERVICE, TEAM.replace("[alice", "[ alice"))
    assert (again.actions, again.unchanged) == ([], 2)
    assert ledger_names(db) == before


def test_a_dry_run_writes_nothing(db: Database, apply: Apply) -> None:
    outcome = apply(BOTH, dry_run=True)
    assert (outcome.added, outcome.applied) == (2, False)
    with db.transaction() as tx:
        assert catalog.known(tx) == []
    assert ledger_names(db) == []


def test_one_error_anywhere_means_that_nothing_is_applied(db: Database, apply: Apply) -> None:
    with pytest.raises(Invalid) as caught:
        apply(TEAM, SERVICE.replace("owner: payments", "owner: nobody").replace("operations", "opérations"))
    assert {problem.place for problem in caught.value.problems} == {"1.yaml:6:3"}
    with db.transaction() as tx:
        assert catalog.known(tx) == []


def test_a_change_names_its_fields_with_exact_values(apply: Apply) -> None:
    objective = "      objectives: [{name: availability, target: TARGET}]\n"
    apply(BOTH + objective.replace("TARGET", "99.9"))
    outcome = apply(BOTH + objective.replace("TARGET", "99.95"))
    assert [(f.field, f.before, f.after) for f in outcome.actions[0].fields] == [
        ("spec.operations[0].objectives[0].target", "99.9", "99.95")
    ]


def test_a_renamed_service_keeps_its_id_and_answers_to_its_old_name(db: Database, apply: Apply) -> None:
    apply(BOTH)
    with db.transaction() as tx:
        before = catalog.service_by_name(tx, name="payments-api")
    renamed = SERVICE.replace("{name: payments-api}", "{name: money-api, formerly: [payments-api]}")
    outcome = apply(TEAM, renamed)
    assert [(a.verb, a.name, a.renamed_from) for a in outcome.actions] == [("change", "money-api", "payments-api")]
    with db.transaction() as tx:
        after = catalog.service_by_name(tx, name="payments-api")
    assert before is not None
    assert after is not None
    assert (after.id, after.name) == (before.id, "money-api")
    assert apply(TEAM, renamed).actions == []


def test_prune_removes_only_what_this_source_no_longer_describes(db: Database, apply: Apply) -> None:
    """apply.prune"""
    apply(TEAM.replace("payments", "ledger"), source="other")
    apply(many(20))
    assert lines(apply(many(19))) == []
    assert lines(apply(many(19), prune=True)) == [("remove", "service-19")]
    with db.transaction() as tx:
        assert catalog.team_by_name(tx, name="ledger") is not None
        assert catalog.service_by_name(tx, name="service-19") is None


def test_removing_more_than_a_tenth_of_a_source_asks_for_confirmation(apply: Apply) -> None:
    """apply.prune.confirm"""
    apply(many(20))
    assert apply(many(10), prune=True, dry_run=True).confirm_because
    with pytest.raises(Conflict) as caught:
        apply(many(10), prune=True)
    assert caught.value.problem.code == "confirmation_needed"
    assert apply(many(10), prune=True, confirm=True).removed == 10


def test_removing_something_with_open_pages_asks_for_confirmation(db: Database, apply: Apply) -> None:
    """apply.prune.confirm"""
    teams = [TEAM.replace("payments", f"team-{number}") for number in range(20)]
    apply(*teams)
    with db.transaction() as tx:
        last = catalog.team_by_name(tx, name="team-19")
        assert last is not None
        admin = identity.Caller(kind="token", id=new_id(), name="dana's", role="admin")
        paging.page_team_for_test(tx, team_id=last.id, caller=admin)
    with pytest.raises(Conflict, match="team team-19 has open pages"):
        apply(*teams[:19], prune=True)
    assert apply(*teams[:19], prune=True, confirm=True).removed == 1


def test_what_comes_back_has_its_old_id(db: Database, apply: Apply) -> None:
    apply(BOTH)
    with db.transaction() as tx:
        before = catalog.service_by_name(tx, name="payments-api")
    apply(TEAM, prune=True, confirm=True)
    assert lines(apply(BOTH)) == [("add", "payments-api")]
    with db.transaction() as tx:
        after = catalog.service_by_name(tx, name="payments-api")
        assert before is not None
        assert after is not None
        assert after.id == before.id
        assert len(catalog.operations(tx, service_ids=[after.id])) == 1


def test_a_team_that_still_owns_a_service_cannot_go(apply: Apply) -> None:
    apply(TEAM)
    apply(SERVICE, source="other")
    with pytest.raises(Invalid, match="it owns 'payments-api'"):
        apply(
            "apiVersion: watchbill/v1\nkind: Team\nmetadata: {name: ops}\nspec: {members: [dana@example.org]}\n",
            prune=True,
            confirm=True,
        )


def test_a_name_of_another_source_is_a_conflict_unless_it_is_taken_over(apply: Apply) -> None:
    apply(BOTH)
    with pytest.raises(Invalid) as caught:
        apply(TEAM, source="other")
    assert [(p.code, p.place) for p in caught.value.problems] == [("manifest.conflict", "0.yaml:3:18")]
    outcome = apply(TEAM, source="other", take_over=True)
    assert [(a.verb, a.name, a.taken_from) for a in outcome.actions] == [("change", "payments", "shop")]


def test_an_owner_whom_nobody_can_reach_is_a_loud_warning_and_strict_makes_it_an_error(apply: Apply) -> None:
    """people.unreachable_owner"""
    unreachable = TEAM.replace("alice@example.org, bob@example.org", "alice, bob")
    assert "manifest.unreachable" in [warning.code for warning in apply(unreachable).warnings]
    with pytest.raises(Invalid, match="nobody can be reached"):
        apply(unreachable, strict=True)


def test_without_a_fallback_team_or_an_admin_to_reach_every_apply_warns(db: Database, apply: Apply) -> None:
    """paged.unowned"""
    fallback = TEAM + "  fallback: true\n"
    codes = [[each.code for each in apply(*texts, **options).warnings] for texts, options in (
        ((TEAM,), {}),
        ((fallback,), {"dry_run": True}),
        ((fallback,), {}),
        ((SERVICE,), {}),
        ((TEAM,), {}),
    )]  # fmt: skip
    lost = ["paging.no_last_resort"]
    assert codes == [lost, [], [], [], lost]
    with db.transaction() as tx:
        dana = identity.ensure_person(tx, login="dana", name="dana")
        identity.change_person(tx, person_id=dana.id, role="admin", actor=ledger.system("test"))
    assert [each.code for each in apply(TEAM).warnings] == lost, "an admin whom nothing reaches does not help"
    with db.transaction() as tx:
        identity.add_contact_method(
            tx, person_id=dana.id, channel="email", address="dana@example.org", actor=ledger.system("test")
        )
    assert apply(TEAM).warnings == []


def test_only_one_team_of_the_organisation_is_the_fallback(db: Database, apply: Apply) -> None:
    fallback = TEAM + "  fallback: true\n"
    apply(fallback)
    with pytest.raises(Invalid, match="both say fallback"):
        apply(fallback.replace("payments", "ops"), source="other")
    apply(TEAM, fallback.replace("payments", "ops"))
    with db.transaction() as tx:
        found = catalog.fallback_team(tx)
        assert found is not None
        assert found.name == "ops"


def test_two_services_may_swap_their_names(db: Database, apply: Apply) -> None:
    one, two = (SERVICE.replace("payments-api", name) for name in ("one", "two"))
    apply(TEAM, one, two)
    apply(TEAM, one.replace("{name: one}", "{name: three, formerly: [one]}"), two)
    outcome = apply(
        TEAM, two.replace("{name: two}", "{name: one, formerly: [two]}"), one.replace("{name: one}", "{name: three}")
    )
    assert sorted(lines(outcome)) == [("change", "one"), ("change", "three")]


def test_every_change_is_told_to_the_ledger_once(db: Database, apply: Apply) -> None:
    apply(BOTH)
    apply(TEAM, SERVICE.replace("charge card", "charge"))
    apply(TEAM, prune=True, confirm=True)
    told = [name for name in ledger_names(db) if name.split(".")[0] in {"team", "service"}]
    assert told == ["team.added", "service.added", "service.changed", "service.removed"]


NAMES = st.sampled_from(["one", "two", "three", "four", "five"])
WORLDS = st.dictionaries(NAMES, st.tuples(st.integers(1, 4), st.lists(NAMES, unique=True, max_size=3)), max_size=5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds=st.lists(WORLDS, min_size=1, max_size=3))
def test_after_an_apply_the_plan_is_empty(apply: Apply, worlds: list[dict[str, tuple[int, list[str]]]]) -> None:
    for world in worlds:
        text = TEAM + "".join(
            f"---\n{SERVICE.replace('payments-api', name)}  tier: {tier}\n"
            f"  dependsOn: [{', '.join(other for other in near if other in world and other != name)}]\n"
            for name, (tier, near) in world.items()
        )
        apply(text, prune=True, confirm=True)
        again = apply(text, prune=True)
        assert (again.actions, again.unchanged) == ([], len(world) + 1)


def test_events_find_their_service_by_its_telemetry_name(db: Database, apply: Apply) -> None:
    apply(BOTH + "  telemetry: {serviceName: pay.v2}\n")
    with db.transaction() as tx:
        found = catalog.service_by_name(tx, name="pay.v2")
        assert found is not None
        assert found.name == "payments-api"
