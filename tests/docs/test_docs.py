"""The documentation keeps its promises: links lead somewhere, examples are valid, commands run."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchbill.cli.app import COMMANDS, app

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATED = {"docs/images/incident-desktop.png", "docs/images/incident-phone.png"}
"""Pictures that the browser tests take; a fresh clone may not have them yet."""

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW_ID = re.compile(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \|", re.MULTILINE)


def pages() -> list[Path]:
    found = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return sorted([*found, *(REPOSITORY / "examples").rglob("*.md")])


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The ids GitHub gives the headings of a page."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, text) of every code block whose info line is exactly ``language``."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block.group(1).strip() == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append((f"{name(page)}:{line}", block.group(2)))
    return found


def page_blocks(page: Path) -> list[tuple[str, str]]:
    """(info line, text) of the code blocks of a page."""
    return [(info.strip(), body) for info, body in FENCE.findall(page.read_text(encoding="utf-8"))]


def console_blocks() -> list[tuple[Path, str]]:
    return [(page, body) for page in pages() for info, body in page_blocks(page) if info == "console runs"]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_internal_link_of_a_page_resolves(page: Path) -> None:
    broken = []
    for match in LINK.finditer(prose(page)):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if name_of(file) in GENERATED:
            continue
        missing_anchor = anchor and file.suffix == ".md" and file.exists() and anchor not in anchors(file)
        if not file.exists() or missing_anchor:
            broken.append(target)
    assert not broken, f"{name(page)} links to what is not there"


def name_of(file: Path) -> str:
    return str(file.relative_to(REPOSITORY)) if file.is_relative_to(REPOSITORY) else str(file)


def test_every_page_of_the_documentation_is_reached_from_its_index() -> None:
    docs = REPOSITORY / "docs"
    reached: set[Path] = set()
    waiting = [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        for match in LINK.finditer(prose(page)):
            target = (match.group(1) or match.group(2)).partition("#")[0]
            if target.endswith(".md") and not re.match(r"[a-z]+:", target):
                waiting.append((page.parent / target).resolve())
    assert {name(page) for page in docs.rglob("*.md")} - {name_of(page) for page in reached} == set()


def test_every_decision_is_in_the_index_and_says_context_choice_and_price() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    assert records
    assert [record.name for record in records if f"]({record.name})" not in index] == []
    numbers = [int(record.name[:4]) for record in records]
    assert len(numbers) == len(set(numbers)), "a number names one decision"
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(record.name[:4])}. "), f"{record.name} begins with its number"
        for part in ("**Context.**", "**Choice.**", "**What we gave up.**"):
            assert part in text, f"{record.name} lacks {part}"


def test_every_row_of_the_semantics_has_an_id_of_its_own_and_says_whether_it_works_today() -> None:
    text = (REPOSITORY / "docs" / "concepts" / "semantics.md").read_text(encoding="utf-8")
    ids = ROW_ID.findall(text)
    assert len(ids) > 50
    assert len(ids) == len(set(ids)), "an id names one row"
    for line in text.splitlines():
        if ROW_ID.match(line):
            today = line.rstrip(" |").rsplit("|", 1)[1].strip()
            assert re.match(r"(now|later|part)\b", today), f"'{today}' is not now, part or later: {line}"


@pytest.mark.parametrize(("where", "text"), blocks("yaml watchbill"), ids=lambda value: value[:40])
def test_every_manifest_shown_in_the_documentation_is_valid(where: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "watchbill.yaml"
    file.write_text(text, encoding="utf-8")
    checked = watchbill("validate", str(file))
    assert checked.exit_code == 0, f"{where}\n{checked.output}"


def test_the_manifest_of_the_shop_is_valid_and_can_reach_everybody() -> None:
    checked = watchbill("validate", str(REPOSITORY / "examples" / "shop" / "watchbill.yaml"))
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(("page", "text"), console_blocks(), ids=lambda value: str(value)[-30:])
def test_every_command_marked_as_running_runs(page: Path, text: str, tmp_path: Path) -> None:
    """It runs in a folder with the page's manifest as watchbill.yaml."""
    manifests = [body for info, body in page_blocks(page) if info == "yaml watchbill"]
    (tmp_path / "watchbill.yaml").write_text("---\n".join(manifests), encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("$ watchbill "):
            ran = watchbill(*shlex.split(line)[2:], cwd=tmp_path)
            assert ran.exit_code == 0, f"{name(page)}: {line}\n{ran.output}"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"^(?:\$ )?watchbill (.+?)(?:  +#.*|\s*\\)?$", "\n".join(b for _, b in page_blocks(page)), re.M)
    shown += re.findall(r"`watchbill ([^`…]+)`", FENCE.sub("", text))
    wrong = []
    for command in sorted(set(shown)):
        words = command.split("  #")[0].replace("|", " ").split()
        path = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]*", word), words))
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        described = help_of(tuple(path[:3]))
        if described is None or any(option not in described for option in options):
            wrong.append(command)
    assert not wrong


@functools.cache
def help_of(path: tuple[str, ...]) -> str | None:
    """The help of ``watchbill noun verb`` (or of a group in a group), or of a command; None when there is none."""
    if not path:
        return CliRunner().invoke(app, ["--help"]).output
    entry = next((entry for entry in COMMANDS if entry.name == path[0]), None)
    if entry is None:
        return None
    asked = [*(path if entry.group else path[:1]), "--help"]
    ran = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    if ran.exit_code != 0 and len(path) > 2:
        return help_of(path[:2])  # the third word was an argument
    return ran.output if ran.exit_code == 0 else None


def test_every_row_of_the_semantics_that_works_today_is_named_by_a_test() -> None:
    text = (REPOSITORY / "docs" / "concepts" / "semantics.md").read_text(encoding="utf-8")
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "tests").rglob("*.py"))
    works = [ROW_ID.match(line) for line in text.splitlines() if line.rstrip(" |").endswith("| now")]
    ids = [match.group(1) for match in works if match]
    assert len(ids) > 20
    assert [id for id in ids if not re.search(rf"\b{re.escape(id)}\b(?!\.[a-z])", tests)] == []


def watchbill(*arguments: str, cwd: Path = REPOSITORY) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, arguments, env={"NO_COLOR": "1"})
