"""Style sheets, scripts and icons: read once, served under a path that names their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Response as PlainResponse

from watchbill.kernel.errors import NotFound

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as it is and compressed."""

    body: bytes
    compressed: bytes
    media_type: str
    etag: str


class Assets:
    """Every static file. ``url("css/base.css")`` changes when any file does, so browsers may keep them for ever."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = dict(assets)
        joined = "".join(f"{name}{asset.etag}" for name, asset in sorted(self._assets.items()))
        self.version = hashlib.sha256(joined.encode()).hexdigest()[:12]

    @classmethod
    def load(cls) -> Assets:
        """Read the package's own files."""
        return cls(dict(_walk(files("watchbill.web").joinpath("static"), "")))

    def url(self, name: str) -> str:
        """Where this file is served; a name that does not exist is a mistake in a template."""
        return f"/static/{self.version}/{self._assets[name] and name}"

    def find(self, name: str) -> Asset:
        """The file.

        Raises:
            NotFound: there is none of this name.
        """
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound(f"there is no file {name}")
        return asset


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
            continue
        media_type = _TYPES.get(entry.name.rsplit(".", 1)[-1])
        if media_type is not None:
            body = entry.read_bytes()
            found.append(
                (
                    f"{prefix}{entry.name}",
                    Asset(
                        body=body,
                        compressed=gzip.compress(body, mtime=0),
                        media_type=media_type,
                        etag=f'"{hashlib.sha256(body).hexdigest()[:20]}"',
                    ),
                )
            )
    return found


ASSETS = Assets.load()


@get("/static/{version:str}/{name:path}", sync_to_thread=False, include_in_schema=False)
def static_file(request: Request[Any, Any, Any], version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """One asset. An old version's path still answers, with the present content and a short life."""
    asset = ASSETS.find(name.removeprefix("/"))
    lasting = "public, max-age=31536000, immutable" if version == ASSETS.version else "no-cache"
    headers = {"ETag": asset.etag, "Cache-Control": lasting, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == asset.etag:
        return PlainResponse(b"", status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return PlainResponse(asset.compressed, media_type=asset.media_type, headers=headers)
    return PlainResponse(asset.body, media_type=asset.media_type, headers=headers)


@get("/favicon.ico", sync_to_thread=False, include_in_schema=False)
def favicon() -> Response[bytes]:
    """What a browser asks for unasked."""
    asset = ASSETS.find("mark.svg")
    return PlainResponse(asset.body, media_type=asset.media_type, headers={"Cache-Control": "public, max-age=86400"})
