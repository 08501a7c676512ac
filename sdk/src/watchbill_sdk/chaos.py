"""The chaos switch: make a dependency slow, failing or silent on purpose, on a signed order that expires.

Nothing happens without a token: JSON (sorted keys) in base64url, a dot, and its HMAC-SHA256 in base64url, under
``WATCHBILL_CHAOS_SECRET``. A token is bound to one service, one environment, one dependency, a share of calls and an
expiry at most an hour after its beginning. Without the secret every token is refused. The format is language-neutral:
docs/reference/reliability-contract.md.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from watchbill_sdk import contract
from watchbill_sdk.deadlines import remaining
from watchbill_sdk.errors import ChaosError, ConfigError, TokenRefused
from watchbill_sdk.recorder import RECORDER

LONGEST_DRILL_SECONDS = 3600
LONGEST_LATENCY_SECONDS = 60.0
LEAST_SECRET_BYTES = 16
_DROP_SECONDS = 30.0
"""How long a dropped call without a deadline hangs before it fails."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """What a token orders. Times are Unix seconds; shares are of calls, ``errors`` + ``drops`` at most 1."""

    id: str
    service: str
    environment: str
    dependency: str
    starts_at: int
    expires_at: int
    share: float = 0.0
    """Of calls that get ``latency`` seconds more."""
    latency: float = 0.0
    errors: float = 0.0
    drops: float = 0.0

    def check(self) -> None:
        """Check that the order makes sense.

        Raises:
            ConfigError: which field is wrong, and its bounds.
        """
        for name in ("id", "service", "environment", "dependency"):
            value = getattr(self, name)
            if not isinstance(value, str) or not 1 <= len(value) <= 100:
                raise ConfigError(f"{name} must be a text of 1 to 100 characters")
        for name in ("starts_at", "expires_at"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int):
                raise ConfigError(f"{name} must be whole Unix seconds")
        for name in ("share", "errors", "drops", "latency"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ConfigError(f"{name} must be a finite number of at least 0")
        if self.share > 1 or self.errors + self.drops > 1:
            raise ConfigError("share, and errors + drops, may be at most 1")
        if self.latency > LONGEST_LATENCY_SECONDS:
            raise ConfigError(f"latency may be at most {LONGEST_LATENCY_SECONDS:g} s")
        if not 0 < self.expires_at - self.starts_at <= LONGEST_DRILL_SECONDS:
            raise ConfigError(f"a drill lasts at most {LONGEST_DRILL_SECONDS} s")


def sign(experiment: Experiment, secret: str | bytes) -> str:
    """Return the token for this order; done where drills are approved, never in the service.

    Raises:
        ConfigError: the order or the secret (at least 16 bytes) is unfit.
    """
    experiment.check()
    key = _key(secret)
    payload = json.dumps(asdict(experiment), sort_keys=True, separators=(",", ":")).encode()
    return f"{_encode(payload)}.{_encode(hmac.digest(key, payload, hashlib.sha256))}"


def verify(token: str, secret: str | bytes, *, service: str, environment: str, now: float) -> Experiment:
    """Return the order of a token that is genuine, for this service and environment, and not over. Constant-time.

    Raises:
        TokenRefused: with the reason; nothing of an unproven token is read before its signature is checked.
    """
    head, dot, signature = token.strip().partition(".")
    try:
        payload, given = _decode(head), _decode(signature)
    except (binascii.Error, ValueError):
        dot = ""
        payload = given = b""
    if not dot or not hmac.compare_digest(hmac.digest(_key(secret), payload, hashlib.sha256), given):
        raise TokenRefused("the signature is wrong: signed with another WATCHBILL_CHAOS_SECRET, or changed since")
    try:
        found = json.loads(payload)
        wanted = {field.name for field in fields(Experiment)}
        experiment = Experiment(**{name: value for name, value in found.items() if name in wanted})
        experiment.check()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused(f"the order is unfit: {error}") from error
    if (experiment.service, experiment.environment) != (service, environment):
        raise TokenRefused(
            f"it is for {experiment.service} in {experiment.environment}, this is {service} in {environment}"
        )
    if now >= experiment.expires_at:
        raise TokenRefused("it has expired")
    return experiment


def _key(secret: str | bytes) -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    if len(key) < LEAST_SECRET_BYTES:
        raise ConfigError(f"a chaos secret has at least {LEAST_SECRET_BYTES} bytes")
    return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


@dataclass(frozen=True, slots=True)
class Injection:
    """What is done to one call: wait, then go on, or fail with ``effect`` error or drop."""

    wait: float = 0.0
    effect: str = ""


def decide(experiment: Experiment, *, now: float, fate: float, slow: float) -> Injection | None:
    """Return what to do to one call; ``fate`` and ``slow`` are uniform in [0, 1). None outside of its time. Pure."""
    if not experiment.starts_at <= now < experiment.expires_at:
        return None
    wait = experiment.latency if slow < experiment.share else 0.0
    if fate < experiment.errors:
        return Injection(wait, "error")
    if fate < experiment.errors + experiment.drops:
        return Injection(wait, "drop")
    return Injection(wait) if wait else None


class Chaos:
    """The orders in force in this process. There is one, :data:`CHAOS`."""

    def __init__(self, *, clock: Callable[[], float] = time.time, chance: Callable[[], float] = random.random) -> None:
        self._clock, self._chance = clock, chance
        self._lock = threading.Lock()
        self._armed: dict[str, Experiment] = {}
        self.service = ""
        self.environment = ""

    def arm(self, token: str, *, secret: str | bytes | None = None) -> Experiment:
        """Obey a token until it expires; a later one for the same dependency replaces it.

        Raises:
            TokenRefused: with the reason; nothing changes.
        """
        secret = secret if secret is not None else os.environ.get("WATCHBILL_CHAOS_SECRET", "")
        if not secret:
            raise TokenRefused("WATCHBILL_CHAOS_SECRET is not set: this process takes no drills")
        if not self.service:
            raise TokenRefused("setup() has not been called, so this process does not know which service it is")
        experiment = verify(token, secret, service=self.service, environment=self.environment, now=self._clock())
        with self._lock:
            known = self._armed.get(experiment.dependency)
            self._armed[experiment.dependency] = experiment
        if known != experiment:
            log.warning(
                "chaos: drill %s on %s: share %g latency %gs errors %g drops %g",
                experiment.id, experiment.dependency, experiment.share, experiment.latency, experiment.errors,
                experiment.drops,
            )  # fmt: skip
        return experiment

    def disarm(self, dependency: str | None = None) -> None:
        """Stop a drill, or all: the big red button needs no token."""
        with self._lock:
            if dependency is None:
                self._armed.clear()
            else:
                self._armed.pop(dependency, None)

    @property
    def armed(self) -> bool:
        """True while any order is in force."""
        return bool(self._armed)

    def _injection(self, dependency: str) -> Injection | None:
        experiment = self._armed.get(dependency)
        if experiment is None:
            return None
        now = self._clock()
        if now >= experiment.expires_at:
            self.disarm(dependency)
            log.warning("chaos: drill %s on %s is over", experiment.id, dependency)
            return None
        found = decide(experiment, now=now, fate=self._chance(), slow=self._chance())
        if found is not None:
            for effect in filter(None, ("latency" if found.wait else "", found.effect)):
                RECORDER.counter(contract.CHAOS, dependency, effect, experiment.id).add()
                RECORDER.evidence(dependency, "drill", effect).used()
        return found

    def strike(self, dependency: str) -> None:
        """Do to this call what a drill orders; in sync code, where the call would be sent.

        Raises:
            ChaosError: an ordered error, or a drop after the deadline's rest (30 s without one).
        """
        if self._armed and (found := self._injection(dependency)) is not None:
            time.sleep(_wait(found))
            _fail(found, dependency)

    async def strike_async(self, dependency: str) -> None:
        """Like :meth:`strike` for coroutines."""
        if self._armed and (found := self._injection(dependency)) is not None:
            await asyncio.sleep(_wait(found))
            _fail(found, dependency)


def _wait(found: Injection) -> float:
    left = remaining()
    wait = found.wait + (_DROP_SECONDS if found.effect == "drop" else 0.0)
    return wait if left is None else min(wait, left)


def _fail(found: Injection, dependency: str) -> None:
    if found.effect == "error":
        raise ChaosError(f"a drill fails calls to {dependency}", dependency=dependency)
    if found.effect == "drop":
        raise ChaosError(f"a drill drops calls to {dependency}", dependency=dependency)


CHAOS = Chaos()


def take_polled(tokens: list[Any]) -> None:
    """Arm the tokens of a polled document; refused ones are logged, dependencies no longer named are disarmed."""
    kept = set()
    for token in tokens:
        try:
            kept.add(CHAOS.arm(str(token)).dependency)
        except (TokenRefused, ConfigError) as error:
            log.warning("chaos: a polled token is refused: %s", error)
    for dependency in set(CHAOS._armed) - kept:
        CHAOS.disarm(dependency)
