"""Who sent it: signatures and tokens of webhooks, compared in constant time.

The secret of an integration is derived from the installation's secret key and the integration's id, so it is
stored nowhere; it is shown when the integration is made. A rotated key goes on verifying until it is dropped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from watchbill.intake.changes.base import Headers
from watchbill.kernel.errors import Unauthenticated

FRESH_FOR = timedelta(minutes=10)
SIGNED = frozenset({"github", "gitlab", "flux", "argocd"})
"""Formats that need the secret beside the key."""


def secret_of(secret_keys: Sequence[str], integration_id: UUID) -> str:
    """The secret to give to the sender."""
    return next(_secrets(secret_keys, integration_id))


def _secrets(secret_keys: Sequence[str], integration_id: UUID) -> Iterator[str]:
    for key in secret_keys:
        yield hmac.new(key.encode(), f"watchbill.webhook:{integration_id}".encode(), hashlib.sha256).hexdigest()


def check(
    format: str, *, body: bytes, headers: Headers, secret_keys: Sequence[str], integration_id: UUID, now: datetime
) -> None:
    """Raise unless the delivery was signed with this integration's secret.

    - github: ``X-Hub-Signature-256: sha256=<hex>`` over the body.
    - flux (provider ``generic-hmac``): ``X-Signature: sha256=<hex>`` over the body.
    - gitlab: ``webhook-signature: v1,<base64>`` over ``id.timestamp.body`` (Standard Webhooks), no older than ten
      minutes; else ``X-Gitlab-Token``.
    - argocd, which cannot sign: ``Authorization: Bearer <secret>``.

    Raises:
        Unauthenticated: no signature, a wrong one, or one that is too old.
    """
    for secret in _secrets(secret_keys, integration_id):
        if _holds(format, body, headers, secret, now):
            return
    raise Unauthenticated(
        f"this delivery is not signed with the secret of this {format} integration",
        code="bad_signature",
        hint="set the secret shown when the integration was made; make a new one if it is lost",
    )


def _holds(format: str, body: bytes, headers: Headers, secret: str, now: datetime) -> bool:
    if format == "github":
        return _same(headers.get("x-hub-signature-256", ""), _hex(secret, body))
    if format == "flux":
        return _same(headers.get("x-signature", ""), _hex(secret, body))
    if format == "argocd":
        return _same(headers.get("authorization", ""), f"Bearer {secret}")
    if "webhook-signature" in headers:
        return _standard(body, headers, secret, now)
    return _same(headers.get("x-gitlab-token", ""), secret)


def _standard(body: bytes, headers: Headers, secret: str, now: datetime) -> bool:
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 11:
        return False
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > FRESH_FOR:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    for key in _keys(secret):
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        if any(_same(given, f"v1,{wanted}") for given in headers["webhook-signature"].split()):
            return True
    return False


def _keys(secret: str) -> Iterator[bytes]:
    """The secret as it stands, and as the base64 that the specification reads it as."""
    yield secret.encode()
    try:
        yield base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return


def _hex(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
