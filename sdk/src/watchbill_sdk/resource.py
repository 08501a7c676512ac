"""Which service this is, from arguments, environment, package, git and Kubernetes."""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LABEL = re.compile(r'^([^=]+)="(.*)"$')


def describe(
    *,
    service: str | None = None,
    version: str | None = None,
    environment: str | None = None,
    package: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    podinfo: Path = Path("/etc/podinfo"),
) -> dict[str, str]:
    """Return OpenTelemetry resource attributes; for each, the first source that speaks.

    1. the argument; 2. ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``WATCHBILL_ENVIRONMENT``; 3. the pod's
    labels ``app.kubernetes.io/name`` and ``version`` from a downward-API volume at ``/etc/podinfo/labels``; 4. the
    installed ``package``; 5. for the version, the commit of the git folder around ``folder`` (the working folder).

    The downward API's variables ``POD_NAME``, ``POD_NAMESPACE``, ``POD_UID`` and ``NODE_NAME`` become ``k8s.*``. No
    subprocess and no network. Unreadable sources are passed over.
    """
    env = os.environ if env is None else env
    found = _from_otel(env.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    labels = _pod_labels(podinfo)
    commit = git_commit(folder or Path.cwd())

    def first(*values: str | None) -> str | None:
        return next((value.strip() for value in values if value and value.strip()), None)

    name = first(
        service,
        env.get("OTEL_SERVICE_NAME"),
        found.get("service.name"),
        labels.get("app.kubernetes.io/name"),
        package,
    )
    chosen = {
        "service.name": name or "unknown_service:python",
        "service.version": first(
            version,
            found.get("service.version"),
            labels.get("app.kubernetes.io/version"),
            _package_version(package),
            commit[:12] if commit else None,
        ),
        "deployment.environment.name": first(
            environment,
            env.get("WATCHBILL_ENVIRONMENT"),
            found.get("deployment.environment.name"),
            found.get("deployment.environment"),
        ),
        "service.instance.id": first(found.get("service.instance.id"), env.get("POD_UID")) or str(uuid.uuid4()),
        "host.name": first(found.get("host.name"), socket.gethostname()),
        "process.pid": str(os.getpid()),
        "k8s.pod.name": first(found.get("k8s.pod.name"), env.get("POD_NAME")),
        "k8s.pod.uid": first(found.get("k8s.pod.uid"), env.get("POD_UID")),
        "k8s.node.name": first(found.get("k8s.node.name"), env.get("NODE_NAME")),
        "k8s.namespace.name": first(found.get("k8s.namespace.name"), env.get("POD_NAMESPACE"), _read(_SERVICE_ACCOUNT)),
        "vcs.ref.head.revision": first(found.get("vcs.ref.head.revision"), commit),
    }
    return {**found, **{key: value for key, value in chosen.items() if value}}


def _from_otel(text: str) -> dict[str, str]:
    """``key=value,key=value``, percent-encoded (OpenTelemetry specification); other pieces are passed over."""
    found = {}
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        if equals and key.strip():
            found[key.strip()] = unquote(value.strip())
    return found


def _pod_labels(podinfo: Path) -> dict[str, str]:
    """The file ``labels`` of a downward-API volume: a line ``key="value"`` each."""
    matches = (_LABEL.match(line) for line in (_read(podinfo / "labels") or "").splitlines())
    return {match.group(1): match.group(2) for match in matches if match}


def _package_version(package: str | None) -> str | None:
    if not package:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out around this folder, read from ``.git`` itself; None when there is none."""
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        if not git.is_dir():
            continue
        head = _read(git / "HEAD") or ""
        if not head.startswith("ref: "):
            return head or None
        ref = head.removeprefix("ref: ")
        loose = _read(git / ref)
        if loose:
            return loose
        packed = (_read(git / "packed-refs") or "").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), None)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
