"""Checkout: reserves the goods and charges the card.

When the card cannot be charged, the order is taken all the same and the money is collected later
(``SHOP_ON_PAYMENT_FAILURE=defer``, the default): the shop degrades, and only payments breaks its objectives.
With ``fail`` the order fails too, and the harm travels up to the storefront.
"""

from __future__ import annotations

import os

from examples.shop.service import Answer, Request, Service, run_service

PRICES_CENTS = {"lantern": 4900, "rope": 1200, "compass": 8900, "bell": 3100}


def place_order(service: Service, request: Request) -> Answer:
    item = str(request.body.get("item"))
    if item not in PRICES_CENTS:
        return Answer(404, {"error": f"we do not sell '{item}'"})
    reserved = service.call("inventory", "POST", "/reservations", {"item": item})
    if not reserved.ok:
        return Answer(502, {"error": "the goods could not be reserved"})
    charged = service.call("payments", "POST", "/charge", {"cents": PRICES_CENTS[item]}, timeout_seconds=1.5)
    if charged.ok:
        return Answer(201, {"item": item, "payment": "charged"})
    if os.environ.get("SHOP_ON_PAYMENT_FAILURE", "defer") == "fail":
        return Answer(502, {"error": "the card could not be charged"})
    return Answer(202, {"item": item, "payment": "deferred"})


if __name__ == "__main__":
    run_service(name="checkout", routes={"POST /orders": place_order}, calls=("inventory", "payments"))
