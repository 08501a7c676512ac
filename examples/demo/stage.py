"""Everything the demo starts: a mailbox, Watchbill on a fresh home, the shop and its visitors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from examples.demo.deployer import Deployer
from examples.demo.mailbox import Mailbox
from examples.demo.processes import Process, Processes, choose_port, clean_environment
from examples.demo.story import DemoFailed
from examples.demo.watch import Watch, until

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFEST = REPOSITORY / "examples" / "shop" / "watchbill.yaml"
NEIGHBOURS = {"storefront": ("inventory", "checkout"), "checkout": ("inventory", "payments")}
SERVICES = ("inventory", "payments", "checkout", "storefront")
SLICE_SECONDS = 5
SETTLE_SECONDS = 5


class Stage:
    """Starts things, keeps where they are, and takes all of it down again."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="watchbill-demo-"))
        # The embedded PostgreSQL never runs as root: its own user must be able to pass through this folder.
        self.home.chmod(0o711)
        self.logs = self.home / "demo-logs"
        self.logs.mkdir()
        taken: set[int] = set()
        self.port = choose_port(8080, taken)
        self.otlp_port = choose_port(4318, taken)
        self.shop_ports = {name: choose_port(7000 + at, taken) for at, name in enumerate(reversed(SERVICES))}
        self.mailbox = Mailbox(choose_port(2525, taken))
        self.deployer = Deployer(choose_port(7099, taken), self._release)
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes = Processes(folder=REPOSITORY, log_folder=self.logs)
        self._shop: dict[str, Process] = {}
        self._up: Process | None = None
        self._watch: Watch | None = None

    @property
    def watch(self) -> Watch:
        assert self._watch is not None, "Watchbill is started first"
        return self._watch

    def start_watchbill(self, progress: Callable[[], None]) -> None:
        """`watchbill up` on a fresh home, until it can take an alert durably."""
        self.mailbox.start()
        self.deployer.start()
        environment = {
            "WATCHBILL_PUBLIC_URL": self.url,
            "WATCHBILL_SMTP_URL": self.mailbox.url,
            "WATCHBILL_MAIL_FROM": "Watchbill <watchbill@shop.example>",
            "WATCHBILL_SLI_SLICE_SECONDS": str(SLICE_SECONDS),
            "WATCHBILL_EVALUATION_SECONDS": "2",
            "WATCHBILL_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "WATCHBILL_LOG_FORMAT": "console",
            "SHOP_DEPLOYER": self.deployer.url,
        }
        argv = ["up", "--home", str(self.home), "--port", str(self.port), "--otlp-port", str(self.otlp_port)]
        argv.append("--local-runner")
        up = self._up = self._processes.start("watchbill", _watchbill(*argv), environment=environment)

        def ready() -> bool:
            progress()
            self._refuse_dead(up)
            return answers(f"{self.url}/readyz") and answers(f"http://127.0.0.1:{self.otlp_port}/readyz")

        until(ready, timeout_seconds=60, why="Watchbill did not become ready")

    def make_token(self, name: str) -> str:
        """An admin token, made on the machine itself."""
        made = self._run("token", "create", name, "--role", "admin", "--json", "--home", str(self.home))
        token: str = json.loads(made)["token"]
        return token

    def sign_in(self, token: str) -> None:
        self._watch = Watch(url=self.url, token=token)

    def apply_manifest(self) -> str:
        """`watchbill apply examples/shop`; returns its plan."""
        return self._run("apply", str(MANIFEST), "--source", "shop", "--home", str(self.home))

    def start_shop(self, progress: Callable[[str], None]) -> None:
        """The four services and their visitors."""
        for name in SERVICES:
            progress(name)
            self._shop[name] = self._start_service(name, "v1" if name == "payments" else None)
        for name in SERVICES:
            self._await_version(name, "v1")
        self._processes.start(
            "visitors",
            [sys.executable, "-m", "examples.shop.load", f"--shop-url={self.shop_url('storefront')}", "--rate=20"],
            environment={},
        )

    def deploy(self, version: str, *, previous: str) -> None:
        """What a pipeline does: tell Watchbill, put the version in place, tell it that it is done."""
        told = ("--version", version, "--previous", previous, "--reversible", "yes", "--home", str(self.home))
        self._run("deploy", "start", "payments", *told)
        status, said = self.deployer.ask("payments", version)
        if status != 200:
            raise DemoFailed(said)
        self._run("deploy", "finish", "payments", *told)

    def _release(self, service: str, version: str) -> None:
        """Put a version in place of the running one; both listen for a moment, so nobody is refused."""
        old = self._shop[service]
        self._shop[service] = self._start_service(service, version)
        self._await_listening(self._shop[service])
        self._processes.forget(old)
        old.stop()
        self._await_version(service, version)

    def shop_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.shop_ports[name]}"

    def visitors(self) -> dict[str, int]:
        """What the visitors met so far: sent, failed, orders, deferred, skipped."""
        lines = (self.logs / "visitors.log").read_text(encoding="utf-8").splitlines()
        complete = [line for line in lines if line.startswith("{") and line.endswith("}")]
        counts: dict[str, int] = json.loads(complete[-1]) if complete else {}
        return counts

    def refuse_dead_processes(self) -> None:
        """
        Raises:
            DemoFailed: something that should run has ended.
        """
        for process in self._processes.died():
            self._refuse_dead(process)

    def kill(self, name: str) -> None:
        """``kill -9`` one of Watchbill's own processes: server, pager, observer or worker.

        Raises:
            DemoFailed: it does not run.
        """
        assert self._up is not None, "Watchbill is started first"
        for pid, command in self._up.children().items():
            if f" run {name}" in command:
                os.kill(pid, signal.SIGKILL)
                return
        raise DemoFailed(f"there is no {name} to kill: {self._up.children()}")

    def keep_logs(self) -> Path:
        """The demo failed: leave the logs where a reader finds them."""
        kept = REPOSITORY / ".demo" / "logs"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.logs, kept)
        return kept

    def strike(self) -> None:
        """Stop all that was started and remove the home."""
        if self._watch is not None:
            self._watch.close()
        self.deployer.stop()
        self._processes.stop_all()
        self.mailbox.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _start_service(self, name: str, version: str | None) -> Process:
        argv = [sys.executable, "-m", f"examples.shop.{name}", f"--port={self.shop_ports[name]}"]
        argv += [f"--version={version}"] if version else []
        argv += [f"--{neighbour}-url={self.shop_url(neighbour)}" for neighbour in NEIGHBOURS.get(name, ())]
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.otlp_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "SHOP_ON_PAYMENT_FAILURE": "defer",
        }
        log_name = f"{name}-{version}" if version else name
        return self._processes.start(log_name, argv, environment=environment)

    def _await_listening(self, process: Process) -> None:
        """A new version shares the port with the old one, so its own word is what counts."""

        def listens() -> bool:
            self._refuse_dead(process)
            return any("listens" in line for line in process.last_lines(3))

        until(listens, timeout_seconds=20, every_seconds=0.1, why=f"{process.name} did not start")

    def _await_version(self, name: str, version: str) -> None:
        def serves() -> bool:
            self._refuse_dead(self._shop[name])
            return version in (read(f"{self.shop_url(name)}/healthz") or "")

        until(serves, timeout_seconds=20, every_seconds=0.1, why=f"{name} {version} did not start")

    def _refuse_dead(self, process: Process) -> None:
        if process.exit_code is not None:
            tail = "\n".join(process.last_lines())
            raise DemoFailed(f"{process.name} ended with exit code {process.exit_code}; its last words:\n{tail}")

    def _run(self, *arguments: str) -> str:
        ran = subprocess.run(
            _watchbill(*arguments),
            cwd=REPOSITORY,
            env=clean_environment({"NO_COLOR": "1", "COLUMNS": "120"}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode != 0:
            said = (ran.stderr or ran.stdout).strip()
            raise DemoFailed(f"watchbill {arguments[0]} ended with exit code {ran.returncode}: {said}")
        return ran.stdout


def _watchbill(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "watchbill.cli.app", *arguments]


def read(url: str) -> str | None:
    """The body of a 200, else None."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            body: bytes = answer.read()
            return body.decode("utf-8", "replace")
    except (OSError, urllib.error.HTTPError):
        return None


def answers(url: str) -> bool:
    """True when ``GET url`` is a 2xx."""
    return read(url) is not None
