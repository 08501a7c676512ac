"""Each executor against a real server on loopback that speaks its provider's documented API, or a real command."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import yaml

from watchbill.features.rollback import Task
from watchbill.runners import Context, Result, execute
from watchbill.runtime.http_out import HttpOut

Answer = tuple[int, Any]
ENVIRONMENT = {"TOKEN": "s3cr3t-token", "TRIGGER": "s3cr3t-trigger"}


class Provider:
    """Routes by ``"METHOD /path"``; each is a function of the body. Remembers what came, with its headers."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Any], Answer]] = {}
        self.came: list[tuple[str, Any, dict[str, str]]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", 0) or 0)).decode()
                form = "urlencoded" in self.headers.get("content-type", "")
                body = {k: v[0] for k, v in parse_qs(raw).items()} if form else json.loads(raw) if raw else None
                route = f"{self.command} {urlsplit(self.path).path}"
                provider.came.append((route, body, {k.lower(): v for k, v in self.headers.items()}))
                answer = provider.routes.get(route)
                status, said = answer(body) if answer else (404, {"message": f"no {route}"})
                sent = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815  the library's own names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


def task(executor: str, plan: dict[str, Any], *, timeout: int = 10, dry_run: bool = False) -> Task:
    return Task(
        run_id=uuid4(),
        number=7,
        lease=uuid4(),
        service="payments",
        environment="production",
        executor=executor,
        plan=plan,
        version="v2",
        previous_version="v1",
        timeout_seconds=timeout,
        dry_run=dry_run,
        lease_seconds=30,
    )


def run(executor: str, plan: dict[str, Any], **how: Any) -> tuple[Result, str]:
    output: list[str] = []
    context = Context(
        task(executor, plan, **how),
        write=output.append,
        http=HttpOut(allow_private=True, timeout_seconds=5),
        environment=ENVIRONMENT,
        poll_seconds=0.01,
    )
    return execute(context), "".join(output)


def then(*answers: Answer) -> Callable[[Any], Answer]:
    """One after the other; the last for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_a_command_succeeds_by_its_exit_code_and_its_output_is_streamed() -> None:
    script = "import os; print('to', os.environ['WATCHBILL_PREVIOUS_VERSION'], os.environ['KEY'])"
    plan = {"command": [sys.executable, "-c", script], "environment": {"KEY": "env:TOKEN"}}
    result, output = run("shell", plan)
    assert (result.outcome, result.exit_code) == ("succeeded", 0)
    assert "to v1 •••" in output
    assert "s3cr3t" not in output


def test_a_command_that_fails_or_is_not_there_has_failed_with_its_exit_code() -> None:
    assert run("shell", {"command": ["sh", "-c", "echo no; exit 3"]})[0].exit_code == 3
    missing = run("shell", {"command": ["/nowhere/at-all"]})[0]
    assert (missing.outcome, missing.exit_code) == ("failed", 127)


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    began = time.monotonic()
    result, _ = run("shell", {"command": ["sh", "-c", f"sleep 30 & echo $! > {mark}; wait"]}, timeout=1)
    assert result.outcome == "timed_out"
    assert time.monotonic() - began < 5
    stat = Path(f"/proc/{mark.read_text().strip()}/stat")
    assert not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_secret_never_leaves_in_the_output_in_pieces_or_in_the_last_word() -> None:
    wrote: list[str] = []
    context = Context(task("shell", {}), write=wrote.append, http=HttpOut(), environment={"T": "s3cr3t-word"})
    context.secret("env:T")
    for piece in ("the token is s3c", "r3t-word, and s3", "c is none: s3cr3t-w"):
        context.write(piece)
    context.flush()
    assert "".join(wrote) == "the token is •••, and s3c is none: s3cr3t-w"
    assert context.blotted("it answered s3cr3t-word") == "it answered •••"


def test_a_secret_that_the_runner_lacks_is_an_end_with_a_name() -> None:
    result, _ = run("shell", {"command": ["true"], "environment": {"KEY": "env:MISSING"}})
    assert result.message == "the secret env:MISSING is not on this runner"


def test_a_dry_run_calls_nobody(provider: Provider) -> None:
    result, output = run("webhook", {"url": f"{provider.url}/undo"}, dry_run=True)
    assert (result.outcome, provider.came) == ("succeeded", [])
    assert output == f"would POST {provider.url}/undo\n"


def test_a_webhook_is_asked_until_it_is_done(provider: Provider) -> None:
    provider.routes = {
        "POST /undo": then((202, {"id": 1})),
        "GET /undo/1": then((200, {"status": "running"}), (200, {"status": "succeeded"})),
    }
    plan = {
        "url": f"{provider.url}/undo",
        "statusUrl": f"{provider.url}/undo/1",
        "headers": {"authorization": "Bearer env:TOKEN"},
    }
    result, output = run("webhook", plan)
    assert result.outcome == "succeeded"
    assert "status: running\nstatus: succeeded" in output
    route, body, headers = provider.came[0]
    assert (route, body["previous_version"]) == ("POST /undo", "v1")
    assert headers["authorization"] == "Bearer s3cr3t-token"


def test_a_webhook_that_refuses_or_lies_has_failed(provider: Provider) -> None:
    provider.routes = {"POST /undo": then((500, {"error": "no"})), "POST /lie": then((200, {}))}
    assert run("webhook", {"url": f"{provider.url}/undo"})[0].message.endswith("answered 500")
    provider.routes["GET /status"] = then((200, {"done": True}))
    plan = {"url": f"{provider.url}/lie", "statusUrl": f"{provider.url}/status"}
    assert run("webhook", plan)[0].outcome == "failed"
    assert run("webhook", {"url": "http://127.0.0.1:9/"})[0].outcome == "failed"


def test_argo_cd_goes_back_to_the_deployment_before_the_last(provider: Provider) -> None:
    app = {"spec": {}, "status": {"history": [{"id": 3, "revision": "aaa"}, {"id": 4, "revision": "bbb"}]}}
    done = {"operationState": {"phase": "Succeeded", "startedAt": "later"}, "health": {"status": "Healthy"}}
    busy = {"operationState": {"phase": "Running", "startedAt": "later"}, "health": {"status": "Progressing"}}
    provider.routes = {
        "GET /api/v1/applications/payments": then((200, app), (200, {"status": busy}), (200, {"status": done})),
        "POST /api/v1/applications/payments/rollback": then((200, {})),
    }
    plan = {"server": provider.url, "token": "env:TOKEN", "application": "payments"}
    result, _ = run("argoCd", plan)
    assert result.outcome == "succeeded", result.message
    assert provider.came[1][1]["id"] == 3
    app["spec"] = {"syncPolicy": {"automated": {}}}
    provider.routes["GET /api/v1/applications/payments"] = then((200, app))
    assert "syncs by itself" in run("argoCd", plan)[0].message


def test_a_flag_is_set_and_seen_by_ofrep(provider: Provider) -> None:
    provider.routes = {
        "PUT /flags/new-checkout": then((200, {})),
        "POST /ofrep/v1/evaluate/flags/new-checkout": then((200, {"variant": "on"}), (200, {"variant": "off"})),
    }
    plan = {"flag": "new-checkout", "url": f"{provider.url}/flags/new-checkout", "ofrepUrl": provider.url}
    result, output = run("featureFlag", plan)
    assert result.message == "set new-checkout to off, and clients get it"
    assert output.splitlines()[1:] == ["clients get on", "clients get off"]


def test_github_dispatches_a_workflow_and_waits_for_its_run(provider: Provider) -> None:
    base = "/repos/shop/payments/actions"
    begun = {"workflow_runs": [{"id": 12, "html_url": "https://github.test/12"}]}
    provider.routes = {
        f"GET {base}/workflows/revert.yml/runs": then((200, {"workflow_runs": []}), (200, begun)),
        f"POST {base}/workflows/revert.yml/dispatches": then((204, None)),
        f"GET {base}/runs/12": then(
            (200, {"status": "in_progress"}), (200, {"status": "completed", "conclusion": "success"})
        ),
    }
    plan = {"repository": "shop/payments", "workflow": "revert.yml", "token": "env:TOKEN", "api": provider.url,
            "inputs": {"version": "v1"}}  # fmt: skip
    result, output = run("github", plan)
    assert result.outcome == "succeeded", result.message
    assert "run 12: https://github.test/12" in output
    dispatched = next(body for route, body, _ in provider.came if route.endswith("/dispatches"))
    assert dispatched == {"ref": "main", "inputs": {"version": "v1"}}


def test_gitlab_triggers_a_pipeline_and_a_failed_one_has_failed(provider: Provider) -> None:
    provider.routes = {
        "POST /projects/shop%2Fpayments/trigger/pipeline": then((201, {"id": 5, "web_url": "https://gitlab.test/5"})),
        "GET /projects/shop%2Fpayments/pipelines/5": then((200, {"status": "running"}), (200, {"status": "failed"})),
    }
    plan = {"project": "shop/payments", "triggerToken": "env:TRIGGER", "token": "env:TOKEN", "api": provider.url}
    result, output = run("gitlab", plan)
    assert (result.outcome, result.message) == ("failed", "pipeline 5 ended: failed")
    assert provider.came[0][1]["token"] == "s3cr3t-trigger"
    assert "s3cr3t" not in output


def replica_set(revision: int, image: str, *, annotation: str, owner: str = "uid-1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"payments-{revision}",
            "annotations": {annotation: str(revision)},
            "ownerReferences": [{"uid": owner, "apiVersion": "apps/v1", "kind": "Deployment", "name": "payments"}],
        },
        "spec": {
            "selector": {"matchLabels": {"app": "payments"}},
            "template": {
                "metadata": {"labels": {"app": "payments", "pod-template-hash": f"h{revision}"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


@pytest.fixture
def kubeconfig(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    pytest.importorskip("kubernetes")
    path = tmp_path / "kubeconfig"
    named = {
        "clusters": [{"name": "c", "cluster": {"server": provider.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(named))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path), raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return provider


def deployment(*, updated: int, generation: int = 4, image: str = "payments:v1") -> dict[str, Any]:
    return {
        "metadata": {"name": "payments", "uid": "uid-1", "generation": generation},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "payments"}},
            "template": {
                "metadata": {"labels": {"app": "payments"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
        "status": {
            "observedGeneration": generation,
            "replicas": 2,
            "updatedReplicas": updated,
            "availableReplicas": updated,
        },
    }


def test_kubernetes_undoes_a_rollout_as_kubectl_does(kubeconfig: Provider) -> None:
    path = "/apis/apps/v1/namespaces/shop"
    annotation = "deployment.kubernetes.io/revision"
    sets = [replica_set(3, "payments:v1", annotation=annotation), replica_set(4, "payments:v2", annotation=annotation)]
    kubeconfig.routes = {
        f"GET {path}/deployments/payments": then(
            (200, deployment(updated=2)), (200, deployment(updated=1)), (200, deployment(updated=2))
        ),
        f"GET {path}/replicasets": then((200, {"items": sets})),
        f"PATCH {path}/deployments/payments": then((200, deployment(updated=0))),
    }
    result, output = run("kubernetes", {"namespace": "shop", "deployment": "payments"})
    assert result.message == "undid deployment shop/payments to revision 3", (result, output)
    patch = next(body for route, body, _ in kubeconfig.came if route.startswith("PATCH"))
    assert patch[0] == {"op": "test", "path": "/metadata/generation", "value": 4}
    assert patch[1]["value"]["spec"]["containers"][0]["image"] == "payments:v1"
    assert "pod-template-hash" not in patch[1]["value"]["metadata"]["labels"]
    assert "1 of 2 updated" in output


@pytest.mark.parametrize(
    ("images", "after", "message"),
    [
        (["v2", "v1"], None, "deployment shop/payments runs v1 already; nothing was to be done"),
        (["v2", "v2-hotfix"], None, "the revision before the current one (3) is v2 itself: it is undone already"),
        (["v1", "v1-config", "v2"], None, "undid deployment shop/payments to revision 3"),
        (["v1", "v2"], "payments:v3", "somebody changed deployment shop/payments meanwhile: it runs payments:v3"),
    ],
)
def test_kubernetes_never_brings_the_bad_version_back_nor_fights_a_person(
    kubeconfig: Provider, images: list[str], after: str | None, message: str
) -> None:
    path = "/apis/apps/v1/namespaces/shop"
    annotation = "deployment.kubernetes.io/revision"
    sets = [replica_set(3 + at, f"payments:{tag}", annotation=annotation) for at, tag in enumerate(images)]
    seen = deployment(updated=2, image=after or "payments:v1")
    kubeconfig.routes = {
        f"GET {path}/deployments/payments": then((200, deployment(updated=2)), (200, seen)),
        f"GET {path}/replicasets": then((200, {"items": sets})),
        f"PATCH {path}/deployments/payments": then((200, deployment(updated=0))),
    }
    result, _ = run("kubernetes", {"namespace": "shop", "deployment": "payments"})
    assert result.message == message
    patched = any(route.startswith("PATCH") for route, _, _ in kubeconfig.came)
    assert patched == (result.message.startswith(("undid", "somebody")))


def test_kubernetes_that_cannot_bring_the_old_version_up_has_failed_at_once(kubeconfig: Provider) -> None:
    path = "/apis/apps/v1/namespaces/default"
    annotation = "deployment.kubernetes.io/revision"
    sets = [replica_set(3 + at, f"payments:{tag}", annotation=annotation) for at, tag in enumerate(("v1", "v2"))]
    stuck = deployment(updated=1)
    said = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no image"}
    stuck["status"]["conditions"] = [said]
    kubeconfig.routes = {
        f"GET {path}/deployments/payments": then((200, deployment(updated=2)), (200, stuck)),
        f"GET {path}/replicasets": then((200, {"items": sets})),
        f"PATCH {path}/deployments/payments": then((200, deployment(updated=0))),
    }
    result, _ = run("kubernetes", {"deployment": "payments"})
    assert (result.outcome, result.message) == (
        "failed",
        "deployment default/payments to revision 3 does not come up: no image",
    )


def test_argo_rollouts_aborts_a_canary_that_goes_on(kubeconfig: Provider) -> None:
    where = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/payments"
    begun = {"metadata": {"uid": "r", "generation": 2}, "spec": {}, "status": {"stableRS": "a", "currentPodHash": "b"}}
    ended = {**begun, "status": {"phase": "Degraded", "abort": True, "stableRS": "a", "currentPodHash": "b"}}
    kubeconfig.routes = {
        f"GET {where}": then((200, begun), (200, ended)),
        f"PATCH {where}/status": then((200, begun)),
    }
    result, _ = run("argoRollouts", {"rollout": "payments"})
    assert result.outcome == "succeeded", result.message
    assert result.message.startswith("done: abort rollout default/payments")


def test_a_cluster_that_refuses_is_an_end_with_its_words(kubeconfig: Provider) -> None:
    result, _ = run("kubernetes", {"deployment": "payments"})
    assert result.message.startswith("Kubernetes answered 404")


def test_an_unknown_executor_and_a_plan_that_is_none_have_failed() -> None:
    assert "knows no executor" in run("telepathy", {})[0].message
    assert "the plan is not understood" in run("shell", {"nope": 1})[0].message
