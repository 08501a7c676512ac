"""Two hands for a night of thousands: forecasts are made in processes of their own, one for each core.

Each is started afresh (not forked: the worker has threads), imports what forecasts need, and is gone in the morning.
Few services are forecast where we are: a process costs a second before it is of use.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import structlog

from watchbill.features import catalog
from watchbill.features.capacity.making import Key, Loaded, Made, forecast_batch

log = structlog.get_logger("watchbill.capacity")

FEWEST = 400
"""Services below which the worker makes its forecasts alone."""
MOST_HANDS = 2


class Crew:
    """Makes batches of forecasts, a few at a time."""

    def __init__(self, pool: ProcessPoolExecutor | None, hands: int) -> None:
        self._pool = pool
        self.hands = hands
        """So many batches are made at once."""

    def begin(self, services: Sequence[catalog.Service], loaded: Loaded, tried: Collection[Key]) -> Batch:
        """Begin to make a batch."""
        if self._pool is None:
            return Batch(services, loaded, tried, None)
        try:
            return Batch(services, loaded, tried, self._pool.submit(forecast_batch, services, loaded, tried))
        except BrokenProcessPool:
            self._pool = None
            return Batch(services, loaded, tried, None)


class Batch:
    """A batch that is being made."""

    def __init__(
        self, services: Sequence[catalog.Service], loaded: Loaded, tried: Collection[Key], made: Future[Made] | None
    ) -> None:
        self.services = services
        self._loaded = loaded
        self._tried = tried
        self._made = made

    def wait(self) -> Made:
        """What was made; where the process was killed, it is made here."""
        if self._made is not None:
            try:
                return self._made.result()
            except BrokenProcessPool as error:
                log.warning("a process that makes forecasts is gone: they are made in the worker", why=str(error))
        return forecast_batch(self.services, self._loaded, self._tried)


@contextmanager
def crew_for(services: int) -> Iterator[Crew]:
    """A crew for a night of so many services; its processes end with the block."""
    hands = min(MOST_HANDS, os.cpu_count() or 1)
    if services < FEWEST or hands < 2:
        yield Crew(None, 1)
        return
    with ProcessPoolExecutor(hands, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Crew(pool, hands)
