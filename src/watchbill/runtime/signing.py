"""Signed claims for links and cookies: bound to a purpose, expiring, with keys that rotate.

The format is itsdangerous' URL-safe one, HMAC-SHA-256; the purpose is its salt, so that a link made for one
purpose is worth nothing for another. Signed is not encrypted: put ids in, never secrets.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from watchbill.kernel.errors import Forbidden, SetupError

_LONGEST = 4096


class _Compact:
    """JSON for itsdangerous: compact and exact."""

    @staticmethod
    def dumps(value: object) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes) -> Any:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error


class Signer:
    """Signs and verifies with `Settings.secret_keys`: the first key signs, all verify.

    To rotate, put a new key in front; drop the old one when its last link has expired.
    """

    def __init__(self, secret_keys: Sequence[str]) -> None:
        if not secret_keys or not all(secret_keys):
            raise SetupError("there is no key to sign with", code="secret_key", hint="set WATCHBILL_SECRET_KEY")
        self._keys = list(reversed(secret_keys))  # itsdangerous signs with the last

    def sign(self, purpose: str, claims: Mapping[str, str], *, expires_at: datetime) -> str:
        """Text for a URL that carries ``claims`` until ``expires_at`` (rounded up to a second)."""
        signed = self._serializer(purpose).dumps([dict(claims), math.ceil(expires_at.timestamp())])
        return signed if isinstance(signed, str) else signed.decode()

    def verify(self, purpose: str, text: str, *, now: datetime) -> dict[str, str]:
        """The claims that were signed for this purpose.

        Raises:
            Forbidden: ``bad_link`` (damaged, forged or for another purpose) or ``link_expired``.
        """
        try:
            if len(text) > _LONGEST:
                raise BadData("too long")
            claims, expires = msgspec.convert(self._serializer(purpose).loads(text), tuple[dict[str, str], int])
        except (BadData, msgspec.ValidationError) as error:
            raise Forbidden(
                "this link is damaged or was not made here", code="bad_link", hint="open it exactly as it was sent"
            ) from error
        if now.timestamp() >= expires:
            raise Forbidden("this link has expired", code="link_expired", hint="sign in and do it there")
        return claims

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._keys,
            salt=f"watchbill.{purpose}",
            serializer=_Compact,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
