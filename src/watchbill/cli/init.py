"""``watchbill init``: write a first manifest for this repository."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from watchbill.cli.codeowners import as_name, owner_by_backstage, owner_by_codeowners
from watchbill.cli.files import repository_name, repository_of
from watchbill.cli.output import Json, emit
from watchbill.kernel.errors import Conflict, Invalid, NotFound

app = typer.Typer()

_LOGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._%+@-]{0,252}[A-Za-z0-9])?")

_MANIFEST = """\
# What Watchbill knows about {service}: who owns it, who is paged, what working means.
# Editor help: save `watchbill schema` to a file and name it in a first line
#   # yaml-language-server: $schema=watchbill-v1.schema.json
apiVersion: watchbill/v1
kind: Team
metadata:
  name: {team}
spec:
  members:            # on call in turns of a week, in this order
{members}
---
apiVersion: watchbill/v1
kind: Service
metadata:
  name: {service}
spec:
  owner: {team}
  tier: 3             # 1 (users are hurt at once) to 4
{links}  telemetry:
    serviceName: {service}   # service.name in OpenTelemetry
  operations:
    - name: all requests       # better: what users do, with match: {{route: "POST /orders"}}
      objectives:
        - {{name: availability, target: 99.5, window: 30d}}
"""

_RUNBOOK = """\
# Runbook: {service}

Owner: team {team}. Whoever is paged starts here.

## What users notice when it is down

## First look

- Dashboards:
- Logs:
- Last deploy:

## Known failures

| symptom | likely cause | what to do |
|---|---|---|

## Undo the last deploy

## Who else to call
"""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write; the repository's root by default.")] = Path(),
    name: Annotated[str | None, typer.Option(help="The service's name.")] = None,
    owner: Annotated[str | None, typer.Option(help="The team that owns it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    json: Json = False,
) -> None:
    """Write watchbill.yaml and a runbook stub from what the repository says about itself."""
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", hint="name the folder of a repository")
    root = repository_of(folder) or folder.resolve()
    service, named_by = _name(root, name)
    team, owned_by = _owner(root, owner, service)
    members = _members(root)
    manifest, runbook = root / "watchbill.yaml", root / "docs" / "runbooks" / f"{service}.md"
    existing = [str(path) for path in (manifest, runbook) if path.exists()]
    if str(manifest) in existing and not force:
        raise Conflict(f"{manifest} is there already", code="exists", hint="edit it, or say --force to overwrite it")
    manifest.write_text(_text(service, team, members, _repository_url(root)), "utf-8")
    written = [str(manifest)]
    if str(runbook) not in existing or force:
        runbook.parent.mkdir(parents=True, exist_ok=True)
        runbook.write_text(_RUNBOOK.format(service=service, team=team), "utf-8")
        written.append(str(runbook))
    next_steps = [
        *([] if members else ["add the team's members (work e-mails) to watchbill.yaml"]),
        "watchbill validate watchbill.yaml",
        "watchbill apply watchbill.yaml --dry-run",
        "watchbill apply watchbill.yaml",
    ]
    if json:
        emit({"service": service, "team": team, "written": written, "next": next_steps}, json=True)
        return
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(f"service {service} ({named_by}), owned by team {team} ({owned_by})")
    typer.echo("If the team is described elsewhere already, remove 'kind: Team' from the file.")
    typer.echo("Next:\n" + "\n".join(f"  {step}" for step in next_steps))


def _name(root: Path, given: str | None) -> tuple[str, str]:
    if given is not None:
        if as_name(given) != given:
            raise Invalid(f"'{given}' cannot be a name", field="name", hint=f"such as {as_name(given) or 'payments'}")
        return given, "as you said"
    for file, read in _NAMES.items():
        path = root / file
        if path.is_file() and (found := as_name(read(path.read_text("utf-8", "replace")))):
            return found, f"from {file}"
    return as_name(repository_name(root)) or "service", "from the repository"


def _from_pyproject(text: str) -> str:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    project = data.get("project") or data.get("tool", {}).get("poetry") or {}
    return str(project.get("name", ""))


def _from_package(text: str) -> str:
    try:
        data = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return ""
    return str(data.get("name", "")) if isinstance(data, dict) else ""


def _from_go_mod(text: str) -> str:
    module = re.search(r"^module\s+(\S+)", text, re.MULTILINE)
    return re.sub(r"/v\d+$", "", module.group(1)) if module else ""


_NAMES: dict[str, Callable[[str], str]] = {
    "pyproject.toml": _from_pyproject,
    "package.json": _from_package,
    "go.mod": _from_go_mod,
}


def _owner(root: Path, given: str | None, service: str) -> tuple[str, str]:
    if given is not None:
        if as_name(given) != given:
            raise Invalid(f"'{given}' cannot be a name", field="owner", hint=f"such as {as_name(given) or 'payments'}")
        return given, "as you said"
    found = owner_by_codeowners(root) or owner_by_backstage(root)
    if found and as_name(found[0]):
        return as_name(found[0]), f"from {found[1]}: {found[0]}"
    return as_name(f"{service[:58]}-team"), "a guess: nothing here names an owner"


def _members(root: Path) -> list[str]:
    """You, by git's ``user.email``; a team grows from there."""
    login = _git(root, "config", "user.email")
    return [login] if _LOGIN.fullmatch(login) else []


def _repository_url(root: Path) -> str:
    url = _git(root, "config", "--get", "remote.origin.url")
    match = re.fullmatch(r"(?:ssh://)?git@([^:/]+)[:/](.+?)(?:\.git)?/?", url)
    if match:
        return f"https://{match.group(1)}/{match.group(2)}"
    plain = re.sub(r"(?<=//)[^/@]+@", "", url).removesuffix(".git")  # without credentials
    return plain if re.fullmatch(r"https?://\S+", plain) else ""


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _text(service: str, team: str, members: list[str], repository: str) -> str:
    lines = (
        "\n".join(f"    - {login}" for login in members)
        or "    []   # add work e-mails, one a line: - alice@example.org"
    )
    links = f"  repository: {repository}\n" if repository else ""
    if repository.startswith("https://github.com/"):
        links += f"  runbook: {repository}/blob/HEAD/docs/runbooks/{service}.md\n"
    else:
        links += f"  # runbook: https://…   (the text is in docs/runbooks/{service}.md)\n"
    return _MANIFEST.format(service=service, team=team, members=lines, links=links)
