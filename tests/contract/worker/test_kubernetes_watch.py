"""The watch over Deployments, by the official client, against a server that speaks the documented API.

A real PostgreSQL and real HTTP: connections break, the past is forgotten, workers die and take over.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube_api import KubeApi
from watchbill.features import alerts, changes
from watchbill.features.capacity import bounds_manifest
from watchbill.features.changes import Change, ChangeReport
from watchbill.intake.kubernetes.cluster import Cluster
from watchbill.intake.kubernetes.watcher import DeploymentWatcher
from watchbill.kernel.errors import Conflict, SetupError
from watchbill.manifest import File, Options, apply_files
from watchbill.processes.kubernetes_watch import WatchCollector, namespaces_of
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

pytest.importorskip("kubernetes")

SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec: {owner: payments}
"""


@pytest.fixture
def api() -> Iterator[KubeApi]:
    api = KubeApi()
    yield api
    api.close()


@pytest.fixture
def cluster(api: KubeApi, db: Database, tmp_path: Path) -> Callable[..., DeploymentWatcher]:
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
    config = api.kubeconfig(tmp_path)

    def make(**how: Any) -> DeploymentWatcher:
        given = {"cluster": "c1", "window_seconds": 3, "first_pause_seconds": 0.02, "holder": "here", **how}
        return DeploymentWatcher(db, connect=lambda: Cluster(config), **given)

    return make


@contextmanager
def running(*watchers: DeploymentWatcher) -> Iterator[None]:
    loops = [watcher.loop() for watcher in watchers]
    for loop in loops:
        loop.idle_seconds = 0.02
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.ask_to_stop()
        ended = [loop.join(5) for loop in loops]
        assert all(ended)


def until(holds: Callable[[], Any], *, seconds: float = 10.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.02)
    return found


def told(db: Database, **only: Any) -> list[Change]:
    """Every change, the oldest first."""
    with db.transaction() as tx:
        found = changes.newest_changes(tx, **only)
    return sorted(found, key=lambda one: (one.started_at, one.last_at))


def lines(db: Database) -> list[str]:
    return [f"{one.kind} {one.service_name} {one.version} {one.state}" for one in told(db)]


def watches(db: Database) -> list[changes.Watched]:
    with db.transaction() as tx:
        return changes.watches(tx)


def watch(db: Database) -> changes.Watched:
    return watches(db)[0]


def is_watching(db: Database, api: KubeApi) -> Callable[[], bool]:
    return lambda: bool(api.open) and watch(db).listed_at is not None


def test_a_rollout_is_told_from_its_start_to_its_end_and_nothing_else_is(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    for name in ("payments", "cart", "search"):  # more than one page of the list
        api.roll_out(name, f"registry.test/{name}:v1")
    with running(cluster()):
        until(is_watching(db, api))
        assert lines(db) == [], "what stood there before the watch is no deploy"
        api.apply("payments", "registry.test/payments:v2", pod_labels={"app.kubernetes.io/version": "2.0"})
        [started] = until(lambda: told(db))
        assert (started.state, started.version, started.previous_version) == ("started", "2.0", "v1")
        assert started.service_id is not None
        api.progress("payments", updated=1, available=2)
        api.complete("payments")
        until(lambda: lines(db) == ["deploy payments 2.0 finished"])
        api.apply("payments", "registry.test/payments:v2", replicas=5, pod_labels={"app.kubernetes.io/version": "2.0"})
        api.complete("payments")
        api.roll_out("mystery", "registry.test/mystery@sha256:0123456789abcdef")
        until(lambda: lines(db)[1:] == ["deploy mystery 0123456789ab finished"])
        assert told(db)[1].service_id is None, "kept, and shown as unowned"
        api.apply("payments", "registry.test/payments:v3")
        api.progress("payments", updated=1, available=3, reason="ProgressDeadlineExceeded")
        failed = until(lambda: [one for one in told(db) if one.state == "failed"])[0]
        assert "ProgressDeadlineExceeded" in failed.note
        api.roll_out("payments", "registry.test/payments:v2", pod_labels={"app.kubernetes.io/version": "2.0"})
        back = until(lambda: [one for one in told(db) if one.kind == "rollback" and one.state == "finished"])[0]
        assert (back.version, back.previous_version) == ("2.0", "v3")
        api.delete("mystery")
        until(lambda: lines(db)[-1] == "config mystery 0123456789ab finished")
    with db.transaction() as tx:
        names = [entry.name for entry in ledger.newest(tx, limit=50) if entry.subject_kind == "change"]
    assert sorted(names) == ["change.failed", *["change.finished"] * 4, *["change.started"] * 4]


def test_a_restart_misses_nothing_and_tells_nothing_twice(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    """deploy.kubernetes"""
    api.roll_out("payments", "registry.test/payments:v1")
    with running(cluster()):
        until(is_watching(db, api))
        api.apply("payments", "registry.test/payments:v2")
        until(lambda: lines(db) == ["deploy payments v2 started"])
    asked = len(api.asked)
    api.complete("payments")
    api.roll_out("payments", "registry.test/payments:v3")
    with running(cluster()):
        until(lambda: lines(db) == ["deploy payments v2 finished", "deploy payments v3 finished"])
        until(lambda: watch(db).resource_version == str(api.version))
    assert not any(line.startswith("list") for line in api.asked[asked:]), "it went on from where it was"
    # Away for so long that the server has forgotten: what came and went is found in the ReplicaSets.
    api.roll_out("payments", "registry.test/payments:v4")
    api.roll_out("payments", "registry.test/payments:v5")
    api.roll_out("cart", "registry.test/cart:v1")
    api.compact()
    with running(cluster()):
        until(lambda: len(lines(db)) == 5 and watch(db).resource_version == str(api.version))
    assert lines(db)[2:] == ["deploy payments v4 finished", "deploy payments v5 finished", "deploy cart v1 finished"]
    assert "how it ended is not known" in told(db)[2].note
    assert told(db)[3].previous_version == "v4"


@pytest.mark.parametrize("in_stream", [True, False], ids=["an ERROR event", "an answer of 410"])
def test_broken_connections_and_410_gone_lose_nothing(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher], in_stream: bool
) -> None:
    api.gone_in_stream = in_stream
    api.roll_out("payments", "registry.test/payments:v1")
    with running(cluster()):
        until(is_watching(db, api))
        for number in range(2, 6):
            api.apply("payments", f"registry.test/payments:v{number}")
            api.drop()
            api.complete("payments")
            if number == 4:
                api.compact()
            expected = [f"deploy payments v{done} finished" for done in range(2, number + 1)]
            until(lambda: lines(db) == expected)  # noqa: B023  asked at once
        until(lambda: watch(db).trouble is None and watch(db).resource_version == str(api.version))
    assert lines(db) == expected


def test_of_two_workers_one_watches_and_the_other_takes_over(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    api.roll_out("payments", "registry.test/payments:v1")
    dying, other = cluster(holder="dying", lease_for=timedelta(seconds=0.5)), cluster(holder="other")
    assert dying._hold() is True
    assert other.step() == 0
    held = dying._held()
    with running(other):
        until(is_watching(db, api))
        assert watch(db).holder == "other"
        with db.transaction() as tx, pytest.raises(Conflict, match="another worker watches"):
            changes.lose_deployment(tx, hold=held, uid="uid-payments-101")
        assert dying.step() == 0
        third = cluster(holder="third")
        with running(third):
            api.roll_out("payments", "registry.test/payments:v2")
            until(lambda: lines(db) == ["deploy payments v2 finished"])
    assert watch(db).lease is None, "who stops lets go, so that nobody waits"


def test_a_refusal_and_an_absence_are_told_where_people_look(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher], tmp_path: Path
) -> None:
    def problem() -> str:
        with db.transaction() as tx:
            found = changes.watch_problems(changes.watches(tx), now=tx.now)
        return str(found[0]) if found else ""

    api.refuse = {"watch"}
    with running(cluster()):
        until(lambda: "cannot watch resource" in problem())
        assert "give the worker's account list and watch" in problem()
        assert next(iter(WatchCollector(db).collect())).samples[0].labels == {"cluster": "c1", "namespace": "*"}
        assert [family.samples[0].value for family in WatchCollector(db).collect()][1] == 0
        api.refuse = set()
        until(lambda: not problem(), seconds=15)
    with db.transaction() as tx:
        late = changes.watch_problems(changes.watches(tx), now=tx.now + timedelta(minutes=5))
    assert "last heard of 5 minutes ago" in late[0].message
    wrong = api.kubeconfig(tmp_path, token="somebody else's")
    with running(DeploymentWatcher(db, connect=lambda: Cluster(wrong), cluster="c1", first_pause_seconds=0.02)):
        until(lambda: "401" in problem())
    with pytest.raises(SetupError, match="no way into the cluster"):
        Cluster(str(tmp_path / "nowhere"))


def test_the_same_deploy_told_by_a_pipeline_is_one_change_whoever_was_first(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    def report(state: str, version: str, **how: Any) -> changes.Recorded:
        with db.transaction() as tx:
            return changes.record_change(
                tx,
                report=ChangeReport(service="payments", state=state, version=version, **how),
                integration_id=alerts.builtin_integration(tx, name="deploys").id,
                source="api",
                actor=ledger.system("test"),
            )

    api.roll_out("payments", "registry.test/payments:v1")
    with running(cluster()):
        until(is_watching(db, api))
        report("started", "2.0", external_id="run 1")
        api.roll_out("payments", "registry.test/payments:84f2c1d")
        until(lambda: "Kubernetes calls it 84f2c1d" in told(db)[0].note)
        assert lines(db) == ["deploy payments 2.0 started"], "the pipeline says when it is done"
        report("finished", "2.0", external_id="run 1")
        api.roll_out("payments", "registry.test/payments:v3")
        until(lambda: lines(db)[1:] == ["deploy payments v3 finished"])
        late = report("finished", "3", external_id="run 2", author="alice")
        assert (late.outcome, late.change.source) == ("amended", "api")
        report("started", "v4")
        report("finished", "v4")  # it handed over, and did not wait
        api.apply("payments", "registry.test/payments:v4")
        api.progress("payments", updated=1, available=2, reason="ProgressDeadlineExceeded")
        until(lambda: "ProgressDeadlineExceeded" in told(db)[2].note)
    assert lines(db) == [
        "deploy payments 2.0 finished",
        "deploy payments 3 finished",
        "deploy payments v4 finished",
    ]


def test_deployments_of_one_service_are_one_deploy_that_fails_when_any_of_them_does(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    notes = {"watchbill/service": "payments", "watchbill/environment": "staging", "watchbill/author": "bob"}
    names = ("payments-web", "payments-jobs")
    for name in names:
        api.roll_out(name, "registry.test/payments:v1", annotations=notes)
    api.roll_out("noise", "registry.test/noise:v1", annotations={"watchbill/ignore": "true"})
    with running(cluster(namespace="shop")):
        until(is_watching(db, api))
        for name in names:
            api.apply(name, "registry.test/payments:v2")
        api.apply("noise", "registry.test/noise:v2")
        api.roll_out("payments", "registry.test/payments:v9", namespace="elsewhere")
        api.complete("payments-web")
        until(lambda: watch(db).resource_version == str(api.version))
        [one] = told(db)
        assert (one.state, one.environment, one.author) == ("started", "staging", "bob")
        api.progress("payments-jobs", updated=1, available=2, reason="ProgressDeadlineExceeded")
        until(lambda: lines(db) == ["deploy payments v2 failed"])
        api.complete("payments-jobs")
        until(lambda: lines(db) == ["deploy payments v2 finished"])


def test_what_nobody_should_write_into_a_deployment_stops_nothing(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    api.roll_out("payments", "registry.test/payments:v1")
    api.objects["shop/odd"] = {"metadata": {"name": "odd", "namespace": "shop", "uid": "u9", "labels": ["no"]}}
    with running(cluster(namespace="shop")):
        until(is_watching(db, api))
        notes = {
            "watchbill/service": "x\x00\n" * 300,
            "watchbill/environment": "\x07" * 9,
            "watchbill/author": "\x00bob",
        }
        api.roll_out("rude", "registry.test/rude:\x00v2", annotations=notes, namespace="shop")
        api.roll_out("payments", "registry.test/payments:v2")
        until(lambda: lines(db)[-1:] == ["deploy payments v2 finished"])
        assert (told(db)[0].service_name, told(db)[0].environment, told(db)[0].author) == (
            "x" * 255,
            "production",
            "bob",
        )
    with running(cluster(namespace="")):
        until(lambda: [one.namespace for one in watches(db)] == [""])
        until(is_watching(db, api))
        api.roll_out("payments", "registry.test/payments:v3")
        until(lambda: lines(db)[1:] == ["deploy payments v2 finished", "deploy payments v3 finished"])


def test_namespaces_are_read_with_their_environments() -> None:
    assert namespaces_of("*,shop-staging=staging").watched == ("",)
    found = namespaces_of(" shop , shop-staging=staging,shop")
    assert found.watched == ("shop", "shop-staging")
    assert found.environments == {"shop-staging": "staging"}
    for wrong in ("", ",", "=x", "shop=", "*=staging"):
        with pytest.raises(SetupError, match="does not name namespaces"):
            namespaces_of(wrong)


def test_the_rights_in_the_guide_are_what_the_watch_asks_for_and_no_more(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher]
) -> None:
    guide = Path(__file__).parents[3] / "docs" / "guides" / "watch-kubernetes.md"
    block = next(each for each in re.findall(r"```yaml\n(.*?)```", guide.read_text("utf-8"), re.S) if "rules:" in each)
    role, binding = yaml.safe_load_all(block)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    given = {(verb, what) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    api.roll_out("payments", "registry.test/payments:v1")
    with running(cluster()):
        until(is_watching(db, api))
    for number in (2, 3):
        api.roll_out("payments", f"registry.test/payments:v{number}")
    api.compact()
    with running(cluster()):
        until(lambda: watch(db).resource_version == str(api.version))
    assert {(line.split()[0], line.split()[2]) for line in api.asked} == given


@pytest.mark.parametrize("seed", range(int(os.environ.get("WATCHBILL_TEST_KUBERNETES_LIVES", "1"))))
def test_a_random_life_tells_every_rollout_once_and_leaves_none_open(
    api: KubeApi, db: Database, cluster: Callable[..., DeploymentWatcher], seed: int
) -> None:
    """Workers die and start, connections break, the server forgets, people deploy meanwhile; no version is missed."""
    chance, names, applied = random.Random(seed), ("cart", "payments", "search"), []

    def apply(name: str) -> None:
        applied.append((name, f"{name}{len(applied)}x"))
        api.apply(name, f"registry.test/{name}:{applied[-1][1]}")

    def scale(name: str) -> None:
        [container] = api.objects[f"shop/{name}"]["spec"]["template"]["spec"]["containers"]
        api.apply(name, container["image"], replicas=chance.randrange(1, 5))

    for name in names:
        api.roll_out(name, f"registry.test/{name}:v0")
    with running(cluster()):
        until(is_watching(db, api))
    deeds: list[Callable[[str], None]] = [
        *[apply] * 4,
        *[api.complete] * 4,
        lambda name: api.progress(name, updated=1, available=1, reason="ProgressDeadlineExceeded"),
        lambda _: api.drop(),
        lambda _: api.compact(),
        scale,
        lambda _: time.sleep(0.05),
    ]
    for _ in range(8):
        workers = [cluster(lease_for=timedelta(seconds=0.3)) for _ in range(chance.choice([1, 2]))]
        with running(*workers):
            for _ in range(chance.randrange(1, 12)):
                chance.choice(deeds)(chance.choice(names))
        for name in chance.choices(names, k=chance.randrange(3)):  # nobody watches
            apply(name)
            chance.choice(deeds)(name)
    for name in names:
        api.complete(name)
    with running(cluster()):
        until(lambda: watch(db).resource_version == str(api.version) and watch(db).trouble is None)
    found = [one for one in told(db, limit=500) if one.version != "v0"]
    assert sorted((one.service_name, one.version) for one in found) == sorted(applied)
    assert {one.state for one in found} <= {"finished", "failed", "cancelled"}
    newest = dict(applied)
    assert {one.state for one in found if newest[one.service_name] == one.version} == {"finished"}


def test_the_autoscaler_of_kubernetes_has_only_fields_that_its_api_knows() -> None:
    """By the models that Kubernetes generates from its own OpenAPI schema (autoscaling/v2)."""
    from kubernetes import client  # as all of this file: only where the extra is installed
    unknown: list[str] = []

    def walk(value: object, kind: str, path: str) -> None:
        if kind.startswith("list["):
            assert isinstance(value, list), path
            for at, each in enumerate(value):
                walk(each, kind[5:-1], f"{path}[{at}]")
        elif hasattr(client, kind):
            model = getattr(client, kind)
            names = {wire: own for own, wire in model.attribute_map.items()}
            assert isinstance(value, dict), path
            for wire, each in value.items():
                if wire not in names:
                    unknown.append(f"{path}.{wire}")
                else:
                    walk(each, model.openapi_types[names[wire]], f"{path}.{wire}")
        else:
            assert isinstance(value, {"int": int, "str": str}[kind]), path

    hpa = yaml.safe_load(bounds_manifest("hpa", service="shop", least=3, most=9, per_replica=50))
    walk(hpa, "V2HorizontalPodAutoscaler", "hpa")
    assert unknown == []
