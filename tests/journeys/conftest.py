from __future__ import annotations

import pytest

from tests.journeys.stage import Stage
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database


@pytest.fixture
def stage(virtual_db: Database, clock: VirtualClock) -> Stage:
    """Team payments (alice leads, bob, and eve as a shadow) owns payments; charlie's team owns nothing of it."""
    stage = Stage(virtual_db, clock)
    stage.team("payments", "alice", "bob", "eve:shadow")
    stage.team("storefront", "charlie")
    stage.team("platform", "dana", fallback=True)
    stage.service("payments", owner="payments", tier=2)
    stage.service("storefront", owner="storefront", tier=2, depends_on=("payments",))
    return stage
