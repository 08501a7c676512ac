"""Who owns a repository by its CODEOWNERS file or Backstage's catalog-info.yaml."""

from __future__ import annotations

import re
from pathlib import Path

from watchbill.runtime.yaml import parse

LOCATIONS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""GitHub looks in the first three, in this order; GitLab in root, docs and .gitlab."""

_EVERYTHING = {"*", "**", "/**", "/*", "/", "**/*"}
_SECTION = re.compile(r"\^?\[(?P<name>[^\]]+)\](\[\d+\])?(?P<owners>.*)")


def owner_by_codeowners(root: Path) -> tuple[str, str] | None:
    """(owner of the whole repository, where it says so): the last rule for everything wins.

    A rule without owners takes ownership away, so then, and without such a rule, the owner named most
    often is taken. GitLab's section headers give their default owners to rules without their own.

    Source: GitHub docs "About code owners", GitLab docs "Code Owners syntax".
    """
    path = next((root / place for place in LOCATIONS if (root / place).is_file()), None)
    if path is None:
        return None
    whole: list[str] = []
    counts: dict[str, int] = {}
    defaults: list[str] = []
    for line in path.read_text("utf-8", "replace").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        section = _SECTION.fullmatch(rule)
        if section:
            defaults = _owners(section.group("owners").split())
            continue
        pattern, *rest = re.split(r"(?<!\\)\s+", rule)
        owners = _owners(rest) or defaults
        if pattern in _EVERYTHING:
            whole = owners
        for owner in owners:
            counts[owner] = counts.get(owner, 0) + 1
    named = whole or sorted(counts, key=lambda owner: -counts[owner])
    return (named[0], str(path.relative_to(root))) if named else None


def _owners(words: list[str]) -> list[str]:
    """``@org/team``, ``@user`` and e-mail addresses up to a comment."""
    found: list[str] = []
    for word in words:
        if word.startswith("#"):
            break
        if word.startswith("@") or "@" in word:
            found.append(word)
    # a team before a person: only a team can be the owner here
    return sorted(found, key=lambda owner: "/" not in owner)


def owner_by_backstage(root: Path) -> tuple[str, str] | None:
    """(``spec.owner`` of the first Component, the file's name)."""
    for name in ("catalog-info.yaml", "catalog-info.yml"):
        path = root / name
        if not path.is_file():
            continue
        for document in parse(path.read_text("utf-8", "replace"), file=name)[0]:
            data = document.data
            if not isinstance(data, dict) or not str(data.get("apiVersion", "")).startswith("backstage.io/"):
                continue
            spec = data.get("spec")
            if data.get("kind") == "Component" and isinstance(spec, dict) and isinstance(spec.get("owner"), str):
                return spec["owner"], name
    return None


def as_name(text: str) -> str:
    """The nearest name that a manifest allows: ``@acme/Payments Team`` becomes ``payments-team``."""
    last = re.split(r"[/:]", text.strip().lstrip("@").partition("@")[0].lower())[-1]
    return re.sub(r"[^a-z0-9._-]+", "-", last)[:63].strip("-._")
