"""Storefront: what a visitor of the shop talks to."""

from __future__ import annotations

from examples.shop.service import Answer, Request, Service, run_service


def show_shelf(service: Service, request: Request) -> Answer:
    stock = service.call("inventory", "GET", "/stock")
    return Answer(200, stock.body) if stock.ok else Answer(502, {"error": "the shelf cannot be shown"})


def show_product(service: Service, request: Request) -> Answer:
    found = service.call("inventory", "GET", f"/stock/{request.path['item']}")
    if found.status == 404:
        return Answer(404, {"error": "there is no such thing in the shop"})
    return Answer(200, found.body) if found.ok else Answer(502, {"error": "the product cannot be shown"})


def place_order(service: Service, request: Request) -> Answer:
    order = service.call("checkout", "POST", "/orders", {"item": request.body.get("item")})
    if order.ok or order.status in (404, 422):
        return Answer(order.status, order.body)
    return Answer(502, {"error": "the order could not be placed"})


if __name__ == "__main__":
    run_service(
        name="storefront",
        routes={"GET /": show_shelf, "GET /products/{item}": show_product, "POST /orders": place_order},
        calls={"inventory": 2.0, "checkout": 4.0},
    )
