"""Manifests on disk: find them, and name the source that they come from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from watchbill.kernel.errors import Invalid, NotFound, Problem

if TYPE_CHECKING:
    from watchbill.manifest import File

_PASSED_OVER = {"node_modules", "__pycache__", "vendor"}
_ORIGIN = re.compile(r'\[remote "origin"\][^\[]*?url\s*=\s*(\S+)')


def read_manifests(paths: Sequence[Path]) -> list[File]:
    """The manifests in these files and (recursively) folders; ``-`` is standard input.

    Other YAML in folders is passed over. Places are given as the paths were.

    Raises:
        NotFound: a path that is not there. Invalid: nothing found, or a file that is not text.
    """
    from watchbill.manifest import File, is_manifest

    found: list[File] = []
    problems: list[Problem] = []
    for path in paths:
        if str(path) == "-":
            found.append(File(path="-", text=sys.stdin.read(), named=True))
            continue
        if not path.exists():
            raise NotFound(f"there is no file or folder {path}", place=str(path), hint="check the path")
        for each in _walk(path):
            try:
                file = File(path=str(each), text=each.read_text("utf-8"), named=not path.is_dir())
            except (OSError, UnicodeDecodeError) as error:
                if not path.is_dir() or each.stem == "watchbill":
                    hint = "save it as UTF-8 text, readable by you"
                    problems.append(Problem(code="unreadable", message=str(error), place=f"{each}:1:1", hint=hint))
                continue
            if is_manifest(file):
                found.append(file)
    if problems:
        raise Invalid("some files cannot be read", code="unreadable", problems=problems)
    if not found:
        raise Invalid(
            f"there is no manifest in {', '.join(map(str, paths))}",
            code="no_manifest",
            hint="`watchbill init` writes a first one; a manifest begins with 'apiVersion: watchbill/v1'",
        )
    return found


def read_texts(paths: Sequence[Path], wanted: Callable[[str], bool], *, what: str) -> list[File]:
    """The files whose text is ``wanted``; a file that is named is taken as it is. ``-`` is standard input.

    Raises:
        NotFound: a path that is not there. Invalid: nothing found, or a named file that is not text.
    """
    from watchbill.manifest import File

    found: list[File] = []
    for path in paths:
        if str(path) == "-":
            found.append(File(path="-", text=sys.stdin.read(), named=True))
            continue
        if not path.exists():
            raise NotFound(f"there is no file or folder {path}", place=str(path), hint="check the path")
        named = not path.is_dir()
        for each in _walk(path):
            try:
                text = each.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                if named:
                    raise Invalid(str(error), place=f"{each}:1:1", hint="save it as UTF-8 text") from error
                continue
            if named or wanted(text):
                found.append(File(path=str(each), text=text, named=named))
    if not found:
        raise Invalid(f"there is no {what} in {', '.join(map(str, paths))}", hint="name the files")
    return found


def walk_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Every YAML file of these files and folders."""
    for path in paths:
        if str(path) != "-" and path.exists():
            yield from _walk(path)


def _walk(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER and not name.startswith("."))
        for name in sorted(names):
            if name.endswith((".yaml", ".yml")):
                yield Path(folder) / name


def repository_of(path: Path) -> Path | None:
    """The root of the git repository around ``path``, or None."""
    start = path.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)


def repository_name(root: Path) -> str:
    """What the repository is called: by its origin, else by its folder."""
    config = root / ".git" / "config"
    if config.is_file() and (match := _ORIGIN.search(config.read_text("utf-8", "replace"))):
        name = re.split(r"[/:]", match.group(1).rstrip("/"))[-1].removesuffix(".git")
        if name:
            return name
    return root.name


def default_source(paths: Sequence[Path]) -> str:
    """The name of the repository, else of the folder, that the first path is in."""
    first = Path.cwd() if str(paths[0]) == "-" else paths[0]
    root = repository_of(first)
    if root is not None:
        return repository_name(root)
    folder = first.resolve() if first.is_dir() else first.resolve().parent
    return folder.name or "manifests"
