"""From files to a bundle: find the manifests in them, read each, and say everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.bundle import Bundle, File, ServiceItem, TeamItem
from watchbill.manifest.documents import KINDS, ServiceManifest, TeamManifest
from watchbill.manifest.openslo.beside import join
from watchbill.manifest.openslo.files import mentions_openslo
from watchbill.manifest.reading import walk
from watchbill.manifest.suggest import nearest
from watchbill.manifest.words import API_VERSION
from watchbill.runtime.yaml import Document, parse

_MENTION = re.compile(r"^\s*[\"']?apiVersion[\"']?\s*:\s*[\"']?watchbill\b", re.MULTILINE | re.IGNORECASE)
_FILE_NAMES = ("watchbill.yaml", "watchbill.yml")


def is_manifest(file: File) -> bool:
    """Whether a file claims to hold manifests: the user named it, or its name or its text says so.

    Anything else that happens to be YAML (charts, workflows, other catalogues) is none of our business.
    """
    return (
        file.named
        or file.path.rsplit("/", 1)[-1] in _FILE_NAMES
        or _MENTION.search(file.text) is not None
        or mentions_openslo(file.text)
    )


def gather(files: Iterable[File]) -> tuple[Bundle, list[Problem]]:
    """Read every manifest in these files; documents with problems are left out of the bundle.

    OpenSLO documents among them become objectives of the services they are about.
    """
    files = list(files)
    teams: list[TeamItem] = []
    services: list[ServiceItem] = []
    problems: list[Problem] = []
    for file in files:
        if not is_manifest(file):
            continue
        documents, found = parse(file.text, file=file.path)
        problems.extend(found)
        ours = 0
        for document in documents:
            kind, found = _kind_of(document)
            problems.extend(found)
            ours += bool(kind or found)
            if kind is None:
                continue
            manifest, found = _read(document, KINDS[kind])
            problems.extend(found)
            if isinstance(manifest, TeamManifest):
                teams.append(TeamItem(document, manifest))
            elif isinstance(manifest, ServiceManifest):
                services.append(ServiceItem(document, manifest))
        if not ours and file.named and not problems and not mentions_openslo(file.text):
            problems.append(
                Problem(
                    code="manifest.empty",
                    message="there is no manifest in this file",
                    place=f"{file.path}:1:1",
                    hint=f"begin with 'apiVersion: {API_VERSION}' and 'kind: Team' or 'kind: Service'",
                )
            )
    services, found = join(files, services)
    return Bundle(teams, services), [*problems, *found]


def _kind_of(  # noqa: PLR0911  one way out for each thing that can be wrong
    document: Document,
) -> tuple[str | None, list[Problem]]:
    """The kind of a document of ours; (None, []) for a document of somebody else's."""
    data: Any = document.data
    if isinstance(data, list) and any(_is_openslo(each) for each in data):
        return None, []
    if not isinstance(data, dict):
        return None, [
            _problem(
                document, "manifest.type", "a manifest is a mapping", (), f"begin with 'apiVersion: {API_VERSION}'"
            )
        ]
    version = data.get("apiVersion")
    if version is None:
        hint = f"add 'apiVersion: {API_VERSION}' as its first line"
        return None, [_problem(document, "manifest.missing", "'apiVersion' is missing", (), hint, field="apiVersion")]
    if version != API_VERSION:
        if not str(version).lower().startswith("watchbill"):
            return None, []
        message = f"the version '{version}' is not known here"
        return None, [_problem(document, "manifest.version", message, ("apiVersion",), f"write {API_VERSION}")]
    kind = data.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return kind, []
    guess = nearest(str(kind), KINDS)
    hint = f"did you mean '{guess}'?" if guess else f"write kind: {' or kind: '.join(KINDS)}"
    if kind is None:
        return None, [_problem(document, "manifest.missing", "'kind' is missing", (), hint, field="kind")]
    return None, [_problem(document, "manifest.kind", f"the kind '{kind}' is not known here", ("kind",), hint)]


def _is_openslo(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("apiVersion")).startswith("openslo")


def _read(
    document: Document, wanted: type[TeamManifest] | type[ServiceManifest]
) -> tuple[TeamManifest | ServiceManifest | None, list[Problem]]:
    try:
        return msgspec.convert(document.data, wanted), []
    except msgspec.ValidationError as first:
        data, problems = walk(document, wanted)
        if problems:
            return None, problems
        try:
            return msgspec.convert(data, wanted), []
        except msgspec.ValidationError:
            return None, [_problem(document, "manifest.type", str(first), (), "compare it with the reference")]


def _problem(
    document: Document, code: str, message: str, path: tuple[str | int, ...], hint: str, *, field: str | None = None
) -> Problem:
    where = field or (str(path[0]) if path else None)
    return Problem(code=code, message=message, place=document.place(path), field=where, hint=hint)
