"""What every handler may ask for by name, marked as Litestar 3 will require.

``caller: GivenCaller, db: GivenDb, settings: GivenSettings, signer: GivenSigner``; mark the rest with Litestar's own
``FromPath``, ``FromQuery`` and ``JSONBody``.
"""

from __future__ import annotations

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from watchbill.features.identity import Caller
from watchbill.features.telemetry import Observer
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer

GivenCaller = NamedDependency[SkipValidation[Caller]]
GivenDb = NamedDependency[SkipValidation[Database]]
GivenSettings = NamedDependency[SkipValidation[Settings]]
GivenSigner = NamedDependency[SkipValidation[Signer]]
GivenObserver = NamedDependency[SkipValidation[Observer]]
"""``observer``: where telemetry is asked for; it may be away (`Unavailable`)."""
