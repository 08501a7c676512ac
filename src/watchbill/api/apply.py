"""Apply manifests, and the schema they follow."""

from __future__ import annotations

import zlib
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import RawBody

from watchbill import manifest
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import identity
from watchbill.features.identity import Caller
from watchbill.kernel.errors import Forbidden, Invalid, TooLarge
from watchbill.manifest import File, Options, Outcome

MOST_BYTES = 64 * 1024 * 1024
"""Of all texts together, unpacked: well over ten thousand services."""


class NewApply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files as they are; places in errors use each ``path``. See `Options` for the rest."""

    files: list[File]
    source: str
    dry_run: bool = False
    prune: bool = False
    strict: bool = False
    confirm: bool = False
    take_over: bool = False


@post("/apply", status_code=200, request_max_body_size=MOST_BYTES, sync_to_thread=True)
def apply_manifests(request: Request[Any, Any, Any], body: RawBody, caller: GivenCaller, db: GivenDb) -> Outcome:
    """Plan and apply manifests; all or nothing. The body may be gzip (`Content-Encoding: gzip`)."""
    return _apply(caller, db, body, request.headers.get("content-encoding", ""))


def _asked(body: bytes, encoding: str) -> NewApply:
    try:
        text = _unpacked(body) if encoding == "gzip" else body
        asked = msgspec.json.decode(text, type=NewApply)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(
            f"the body is not an apply: {error}", hint='send {"source": …, "files": [{"path", "text"}]}'
        ) from error
    if not asked.source.strip() or len(asked.source) > 200:
        raise Invalid("an apply needs a source", field="source", hint="name the repository or folder it comes from")
    return asked


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise Invalid(f"the body is not gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise TooLarge(f"more than {MOST_BYTES // 1_048_576} MB unpacked", hint="apply in several sources")
    return text


def _apply(caller: Caller, db: Any, body: bytes, encoding: str) -> Outcome:
    asked = _asked(body, encoding)

    def authorize(team_ids: frozenset[UUID], whole: bool) -> None:
        if asked.dry_run:
            return
        _authorize(caller, team_ids, whole)

    options = Options(**{name: getattr(asked, name) for name in Options.__struct_fields__})
    with db.transaction() as tx:
        return manifest.apply_files(tx, files=asked.files, options=options, actor=caller.actor, authorize=authorize)


def _authorize(caller: Caller, team_ids: frozenset[UUID], whole: bool) -> None:
    """Members change what is their team's; a new team, or which one is the fallback, is for admins."""
    for team_id in team_ids:
        identity.require(caller, "manage_team", team_id)
    if whole and (refused := identity.refusal(caller, "administer")):
        raise Forbidden(
            f"adding a team or choosing the fallback team: {refused}",
            hint="ask an admin to apply it once; from then on its members may change it",
        )


@get("/schema", opt={"public": True}, sync_to_thread=False)
def manifest_schema() -> Response[bytes]:
    """The JSON Schema of a manifest, for editors."""
    return Response(manifest.schema_text().encode(), media_type="application/schema+json")


handlers = [apply_manifests, manifest_schema]
