"""Checkout: reserves the goods and charges the card.

When the card cannot be charged, the order is taken all the same and the money is collected later
(``SHOP_ON_PAYMENT_FAILURE=defer``, the default): the shop degrades and says so (the answer, its span and its metrics
are marked), and only payments breaks its objectives. With ``fail`` the order fails too, and the harm travels up to
the storefront.
"""

from __future__ import annotations

import os

import watchbill_sdk as wb
from examples.shop.service import Answer, Request, Service, run_service

PRICES_CENTS = {"lantern": 4900, "rope": 1200, "compass": 8900, "bell": 3100}


class NotCharged(Exception):
    """Payments did not say that the card is charged."""


def charge(service: Service, cents: int) -> str:
    charged = service.call("payments", "POST", "/charge", {"cents": cents})
    if not charged.ok:
        raise NotCharged(charged.body.get("error", f"status {charged.status}"))
    return "charged"


charge_or_defer = wb.Fallback("payments", "deferred", on=(NotCharged,))(charge)


def place_order(service: Service, request: Request) -> Answer:
    item = str(request.body.get("item"))
    if item not in PRICES_CENTS:
        return Answer(404, {"error": f"we do not sell '{item}'"})
    reserved = service.call("inventory", "POST", "/reservations", {"item": item})
    if not reserved.ok:
        return Answer(502, {"error": "the goods could not be reserved"})
    if os.environ.get("SHOP_ON_PAYMENT_FAILURE", "defer") == "fail":
        try:
            return Answer(201, {"item": item, "payment": charge(service, PRICES_CENTS[item])})
        except NotCharged:
            return Answer(502, {"error": "the card could not be charged"})
    payment = charge_or_defer(service, PRICES_CENTS[item])
    return Answer(201 if payment == "charged" else 202, {"item": item, "payment": payment})


if __name__ == "__main__":
    run_service(name="checkout", routes={"POST /orders": place_order}, calls={"inventory": 2.0, "payments": 1.5})
