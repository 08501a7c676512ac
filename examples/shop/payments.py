"""Payments: charges cards. Version v1 works; v2 is the release that should not have gone out."""

from __future__ import annotations

import random
import time

from examples.shop.service import Answer, Request, Service, run_service

BROKEN_SHARE = 0.4
"""The part of all charges that v2 fails."""


def charge(service: Service, request: Request) -> Answer:
    if not isinstance(request.body.get("cents"), int):
        return Answer(422, {"error": "'cents' must be a whole number"})
    if service.version == "v2":
        return _charge_v2(service, request)
    time.sleep(random.uniform(0.004, 0.02))
    return Answer(201, {"charged": request.body["cents"]})


def _charge_v2(service: Service, request: Request) -> Answer:
    """The new fraud check asks a rates table that nobody migrated: slow, and two of five charges fail."""
    with service.tracer.start_as_current_span("fraud check") as span:
        time.sleep(random.uniform(0.05, 0.45))
        if random.random() < BROKEN_SHARE:
            span.set_attribute("error.type", "LookupError")
            raise LookupError("no row in exchange_rates for EUR")
    return Answer(201, {"charged": request.body["cents"]})


if __name__ == "__main__":
    run_service(name="payments", routes={"POST /charge": charge}, versions=("v1", "v2"))
