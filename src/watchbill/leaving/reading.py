"""Read exports: answers of a REST API kept as JSON files, or folders of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from watchbill.leaving.model import Found, Json, refuse

_PAGING = {"limit", "offset", "more", "total", "count", "next", "previous", "page_size", "current_page_number"}
_PAGING |= {"total_pages", "took", "requestId", "paging", "version", "totalCount"}
_LARGEST_BYTES = 64 * 2**20


class Dump:
    """Objects of an export by kind (``schedules``, ``users`` …), each with its place ``file.json#/schedules/0``."""

    def __init__(self, kinds: Collection[str], found: Found, versions: Collection[str]) -> None:
        self._kinds, self._found, self._versions = frozenset(kinds), found, frozenset(versions)
        self.items: dict[str, list[tuple[str, Json]]] = {kind: [] for kind in kinds}

    def read(self, paths: Sequence[Path]) -> None:
        """Read files, and the ``*.json`` of folders. Raises `Invalid` with the place of what is wrong."""
        files: list[Path] = []
        for path in paths:
            if path.is_dir():
                files.extend(sorted(path.rglob("*.json")))
            elif path.is_file():
                files.append(path)
            else:
                raise refuse(str(path), "there is no such file or folder", "name the export")
        for file in files:
            if file.stat().st_size > _LARGEST_BYTES:
                raise refuse(
                    str(file), "the file is larger than 64 MiB", "split it by kind: schedules.json, users.json"
                )
            try:
                raw = json.loads(file.read_text("utf-8-sig"))
            except json.JSONDecodeError as error:
                where = f"{file}:{error.lineno}:{error.colno}"
                raise refuse(where, f"this is not whole JSON: {error.msg}", "export it again") from None
            except (UnicodeDecodeError, RecursionError):
                raise refuse(str(file), "this is not JSON text", "export it again") from None
            self._take(str(file), file.stem.lower().replace("-", "_"), raw)
        if not any(self.items.values()):
            known = ", ".join(sorted(self._kinds))
            raise refuse(str(paths[0]), "nothing of this system is in the export", f"it has any of: {known}")

    def _take(self, file: str, stem: str, raw: object) -> None:
        if isinstance(raw, dict) and "version" in raw and str(raw["version"]) not in self._versions:
            known = ", ".join(sorted(self._versions))
            raise refuse(f"{file}#/version", f"version '{raw['version']}' is not understood", f"known: {known}")
        if isinstance(raw, list):
            self._several(file, "", stem, raw)
            return
        if not isinstance(raw, dict):
            raise refuse(file, "an export is an object or a list", "export it again")
        for key, value in raw.items():
            kind = stem if key in ("data", "results") else key
            kind = kind if kind in self._kinds else f"{kind}s"
            if kind in self._kinds:
                self._several(file, f"/{key}", kind, value if isinstance(value, list) else [value])
            elif key not in _PAGING:
                self._found.note(f"{file}#/{key}", "not a part of what is carried over")
        if raw.get("more") is True or raw.get("next"):
            self._found.note(file, "this is one page of several: what is on the others is missing")

    def _several(self, file: str, under: str, kind: str, values: list[object]) -> None:
        if kind not in self._kinds:
            self._found.note(f"{file}#{under}", f"'{kind}' is not a part of what is carried over")
            return
        for at, value in enumerate(values):
            place = f"{file}#{under}/{at}"
            if not isinstance(value, dict):
                raise refuse(place, "an object is expected here", "export it again")
            self.items[kind].append((place, value))
