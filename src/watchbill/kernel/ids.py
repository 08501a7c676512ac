"""Identifiers: UUIDv7 (RFC 9562, section 5.7), made by the application, ordered by time."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_ms = 0
_sequence = 0


def new_id() -> UUID:
    """Return a new UUIDv7.

    48 bits of Unix milliseconds, then a 12-bit counter that starts at a random value each
    millisecond (method 1 of section 6.2), then 62 random bits. Ids made by one process sort
    in the order they were made, even when the clock steps back.
    """
    global _last_ms, _sequence  # noqa: PLW0603  one counter per process, guarded by its lock
    random_bits = int.from_bytes(os.urandom(10), "big")
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms = now_ms
            _sequence = random_bits >> 69  # 11 bits: leaves room to count up within the millisecond
        else:
            _sequence += 1
            if _sequence > 0xFFF:
                _last_ms += 1
                _sequence = 0
        timestamp, sequence = _last_ms, _sequence
    value = (timestamp & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76
    value |= sequence << 64
    value |= 0b10 << 62
    value |= random_bits & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)
