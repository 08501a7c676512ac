"""Inventory: what is on the shelves, and what is set aside for an order."""

from __future__ import annotations

import threading

from examples.shop.service import Answer, Request, Service, run_service

SHELVES = {"lantern": 40, "rope": 120, "compass": 25, "bell": 60}
_lock = threading.Lock()
_stock = dict(SHELVES)


def list_stock(service: Service, request: Request) -> Answer:
    with _lock:
        return Answer(200, {"stock": dict(_stock)})


def show_stock(service: Service, request: Request) -> Answer:
    item = request.path["item"]
    with _lock:
        if item not in _stock:
            return Answer(404, {"error": f"we do not sell '{item}'"})
        return Answer(200, {"item": item, "left": _stock[item]})


def reserve(service: Service, request: Request) -> Answer:
    """Take one from the shelf; an empty shelf is filled from the back room."""
    item = str(request.body.get("item"))
    with _lock:
        if item not in _stock:
            return Answer(404, {"error": f"we do not sell '{item}'"})
        _stock[item] = _stock[item] - 1 if _stock[item] > 0 else SHELVES[item]
        return Answer(201, {"item": item, "left": _stock[item]})


if __name__ == "__main__":
    run_service(
        name="inventory",
        routes={"GET /stock": list_stock, "GET /stock/{item}": show_stock, "POST /reservations": reserve},
    )
