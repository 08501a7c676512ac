"""Visitors: each journey looks at the shelf, opens a product and places an order.

Open load at a fixed rate (journeys start on time, however slow the shop is), with a bound on journeys in
flight; one that finds the bound reached is skipped and counted.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

ITEMS = ("lantern", "rope", "compass", "bell")
REQUESTS_PER_JOURNEY = 3
IN_FLIGHT = 32


def send(method: str, url: str, *, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """One request of a visitor, who waits five seconds: the status (0 without an answer) and the JSON of a 2xx."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            error.read()
        return error.code, {}
    except (OSError, ValueError):
        return 0, {}


class Visitors:
    """Counts what the visitors met: ``sent``, ``failed`` (no answer or 5xx), ``orders``, ``skipped``."""

    def __init__(self, shop_url: str) -> None:
        self._shop_url = shop_url
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(IN_FLIGHT)
        self.counts: Counter[str] = Counter(sent=0, failed=0, orders=0, deferred=0, skipped=0)

    def start_journey(self) -> None:
        if not self._room.acquire(blocking=False):
            self._count("skipped")
            return
        threading.Thread(target=self._journey, daemon=True).start()

    def _journey(self) -> None:
        item = random.choice(ITEMS)
        try:
            self._visit("GET", "/")
            time.sleep(random.uniform(0.05, 0.3))
            self._visit("GET", f"/products/{item}")
            time.sleep(random.uniform(0.05, 0.3))
            self._visit("POST", "/orders", {"item": item})
        finally:
            self._room.release()

    def _visit(self, method: str, path: str, body: dict[str, str] | None = None) -> None:
        status, answer = send(method, self._shop_url + path, body=body)
        self._count("sent")
        if status == 0 or status >= 500:
            self._count("failed")
        elif method == "POST":
            self._count("orders")
            if answer.get("payment") == "deferred":
                self._count("deferred")

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.shop.load")
    parser.add_argument("--shop-url", required=True, help="address of the storefront")
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second in all (default 20)")
    arguments = parser.parse_args()
    if not 0 < arguments.rate <= 200:
        parser.error("--rate must be over 0 and at most 200 requests per second")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    visitors = Visitors(arguments.shop_url)
    pause_seconds = REQUESTS_PER_JOURNEY / arguments.rate
    next_start = next_report = time.monotonic()
    while not stop.wait(max(0.0, next_start - time.monotonic())):
        visitors.start_journey()
        next_start += pause_seconds
        if time.monotonic() >= next_report:
            print(json.dumps(visitors.counts), flush=True)
            next_report += 1


if __name__ == "__main__":
    main()
