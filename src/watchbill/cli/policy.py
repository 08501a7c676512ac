"""Policy as tested code: run the tests of a policy, and replay history under it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.files import read_manifests, walk_files
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.errors import Invalid

if TYPE_CHECKING:
    from watchbill.manifest import File
    from watchbill.manifest.policy import Verdict

app = typer.Typer(help="Test an escalation policy, and replay history under it.")

Paths = Annotated[list[Path], typer.Argument(help="Manifests and files of policy tests, or folders of them.")]


@app.command("test")
def run_tests(paths: Paths, json: Json = False) -> None:
    """Run the policy tests in these files on a virtual clock; needs no server. Exit code 1 if one fails."""
    from watchbill import manifest
    from watchbill.manifest import policy

    test_files, manifests = _parted(paths)
    if not test_files:
        hint = "a file of tests begins with 'policyTests:'; see docs/guides/escalate-a-page.md"
        raise Invalid("there are no policy tests in these paths", code="no_policy_tests", hint=hint)
    bundle, problems = manifest.validate(manifests, external=True)
    errors = [each for each in problems if each.severity == "error"]
    if errors:
        raise Invalid("the manifests have errors", code="manifest_invalid", problems=errors)
    rehearsal = policy.Rehearsal(bundle)
    verdicts = [policy.run_test(placed, rehearsal) for placed in policy.read_tests(test_files)]
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if json:
        found = [{**_plain(verdict), "diff": verdict.diff} for verdict in verdicts]
        emit({"passed": len(verdicts) - len(failed), "failed": len(failed), "tests": found}, json=True)
    else:
        for verdict in verdicts:
            typer.echo(f"{'ok    ' if verdict.passed else 'FAILED'} {verdict.name}")
            if not verdict.passed:
                typer.echo(f"       {verdict.place}: '-' was expected, '+' came instead")
                for line in verdict.diff:
                    typer.echo(f"       {line}")
        typer.echo(f"{len(verdicts) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _plain(verdict: Verdict) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(verdict)
    return plain


def _parted(paths: list[Path]) -> tuple[list[File], list[File]]:
    """(files of tests, manifests). A file of tests that is named is no manifest."""
    from watchbill.manifest import File
    from watchbill.manifest.policy import is_policy_tests

    tests: list[File] = []
    for path in walk_files(paths):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # said by read_manifests, where it matters
        if is_policy_tests(text):
            tests.append(File(path=str(path), text=text, named=True))
    known = {file.path for file in tests}
    return tests, read_manifests([path for path in paths if str(path) not in known])


@app.command("replay")
def replay_policy(
    paths: Paths,
    since: Annotated[str, typer.Option("--since", help="How far back: 30d, or an RFC 3339 time.")] = "30d",
    json: Json = False,
    home: Home = None,
) -> None:
    """Say who would have been paged over the recorded history under these manifests, against what happened."""
    _, manifests = _parted(paths)
    import msgspec

    body = {"files": msgspec.to_builtins(manifests), "since": since}
    with Client.from_environment(home, timeout_seconds=300) as client:
        found = client.post("/api/v1/policy/replay", body)
    emit(found, json=json, table=_replay)


def _replay(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    unknown = f", {found['not_described']} of services these manifests do not have" if found["not_described"] else ""
    more = "" if found["complete"] else "; only the oldest were replayed, choose a later --since"
    head = Text(
        f"{found['pages']} pages since {when(found['since'])}: {found['same']} the same,"
        f" {len(found['differences'])} different{unknown}{more}"
    )
    pages = rows(
        found["differences"],
        ("#", "incident"),
        ("When", lambda d: when(d["at"])),
        ("Team", lambda d: d["team"] if d["team"] == d["proposed_team"] else f"{d['team']} → {d['proposed_team']}"),
        ("Asked", lambda d: ", ".join(d["asked"]) or "nobody"),
        ("Would ask", lambda d: ", ".join(d["proposed"]) or "nobody"),
        ("Why", "why"),
        empty="every page would have gone the same way",
    )
    people = rows(
        found["people"],
        ("Person", "person"),
        ("Pages", lambda p: f"{p['pages']} → {p['proposed_pages']}"),
        ("Asked", lambda p: f"{p['asks']} → {p['proposed_asks']}"),
        empty="nobody was paged",
    )
    return Group(head, pages, people)
