"""Web push: an encrypted message to a browser by its push service (RFC 8030, 8291), signed by VAPID (RFC 8292)."""

from __future__ import annotations

import base64
import os
import time
from datetime import timedelta
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import msgspec

from watchbill.channels.base import Context, Description, not_set, outcome_of, outcome_of_error
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.messages import Message, Send, SendOutcome

DESCRIPTION = Description(
    name="webpush",
    label="Push to a browser",
    address_label="Subscription",
    example="press 'This device' under My account",
    note="a phone or a desktop, each by its own browser",
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_TTL = timedelta(minutes=30)
_TOKEN_FOR = timedelta(hours=12)
_GONE = frozenset({404, 410})


class _Subscription(msgspec.Struct, frozen=True):
    endpoint: str
    keys: dict[str, str]


def build(context: Context) -> Send:
    def send(message: Message) -> SendOutcome:
        if context.push_key is None:
            return not_set("web push has no key in this process")
        try:
            to = msgspec.json.decode(message.address, type=_Subscription)
            body = encrypt(_shown(message), p256dh=_bytes(to.keys["p256dh"]), auth=_bytes(to.keys["auth"]))
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            return SendOutcome(sent=False, permanent=True, error=f"not a push subscription: {error}")
        parts = urlsplit(to.endpoint)
        subject = f"mailto:{parseaddr(context.mail_from)[1]}"
        authorization = vapid(context.push_key(), audience=f"{parts.scheme}://{parts.netloc}", subject=subject)
        headers = {
            "authorization": authorization,
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(int(_TTL.total_seconds())),
            "urgency": "high" if message.urgent else "normal",
            # The same name at every try: a push that was not delivered yet is replaced, not doubled (RFC 8030, 5.4).
            "topic": message.idempotency_key.replace("-", "")[:32],
        }
        try:
            answer = context.http.request("POST", to.endpoint, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, WatchbillError) as error:
            return outcome_of_error(error)
        if answer.status in _GONE:
            return SendOutcome(sent=False, permanent=True, error="this browser has ended its subscription")
        return outcome_of(answer)

    return send


def _shown(message: Message) -> bytes:
    """What the service worker shows; at most about 4 kB once encrypted."""
    return msgspec.json.encode(
        {
            "title": message.subject[:200],
            "body": message.text[:600],
            "tag": message.idempotency_key,
            "urgent": message.urgent,
            "acknowledge": message.acknowledge_url,
            "label": message.acknowledge_label,
            "open": message.incident_url,
        }
    )


def encrypt(plain: bytes, *, p256dh: bytes, auth: bytes) -> bytes:
    """``aes128gcm`` for one receiver (RFC 8291), with a key of its own for every message.

    Raises:
        ValueError: the receiver's key is none.
    """
    import http_ece
    from cryptography.hazmat.primitives.asymmetric import ec

    encrypted: bytes = http_ece.encrypt(
        plain,
        salt=os.urandom(16),
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=p256dh,
        auth_secret=auth,
        version="aes128gcm",
    )
    return encrypted


def new_key() -> str:
    """A private key (PEM, P-256) that signs every push of this installation."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def public_key(private_key: str) -> str:
    """The application server key that a browser subscribes with: an uncompressed point, base64url."""
    from cryptography.hazmat.primitives import serialization

    return _text(
        _loaded(private_key)
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )


def vapid(private_key: str, *, audience: str, subject: str) -> str:
    """The ``Authorization`` header: a token (ES256, RFC 7515) for this push service, good for twelve hours."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    claims = {"aud": audience, "exp": int(time.time() + _TOKEN_FOR.total_seconds()), "sub": subject}
    signed = f"{_text(msgspec.json.encode({'typ': 'JWT', 'alg': 'ES256'}))}.{_text(msgspec.json.encode(claims))}"
    r, s = decode_dss_signature(_loaded(private_key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"vapid t={signed}.{_text(r.to_bytes(32) + s.to_bytes(32))}, k={public_key(private_key)}"


def _loaded(private_key: str) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    key = serialization.load_pem_private_key(private_key.encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("the key of web pushes is not one of the curve P-256")
    return key


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
