"""Passwords: argon2id with the library's defaults (RFC 9106, low-memory profile)."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from watchbill.kernel.errors import Invalid

_hasher = PasswordHasher()
LEAST, MOST = 10, 1024


def hash_password(password: str) -> str:
    """The hash to keep.

    Raises:
        Invalid: too short or too long (hashing a megabyte would be a way to keep us busy).
    """
    if not LEAST <= len(password) <= MOST:
        raise Invalid(
            f"a password has {LEAST} to {MOST} characters",
            code="bad_password",
            field="password",
            hint="a few random words are long and easy to type",
        )
    return _hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """True when it is the password. Takes as long when there is no such person or no password set."""
    if len(password) > MOST:
        return False
    try:
        return _hasher.verify(password_hash or _nobody(), password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """True when it was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobody() -> str:
    """A hash that nobody knows the password of, so that an unknown login costs the same time."""
    import secrets

    return _hasher.hash(secrets.token_urlsafe(32))
