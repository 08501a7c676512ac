"""Demand, capacity and forecasts: when it runs out, and what to order by when.

The modules `nightly`, `forecast` and `fanout` belong to this face too: import them where they are used, they bring
numpy (and `usl.fit` brings scipy).
"""

from watchbill.features.capacity.actions import FORECAST, push_demand, save_curve, sign_off, withdraw_sign_off
from watchbill.features.capacity.export import bounds_manifest
from watchbill.features.capacity.logic import Component, Effect, what_if
from watchbill.features.capacity.model import (
    WHOLE,
    Carried,
    Curve,
    Declared,
    Exhaustion,
    Fanout,
    Journey,
    Kind,
    Outlook,
    PeakEvent,
    SignOff,
    State,
    Stored,
)
from watchbill.features.capacity.ramping import finish_ramp, ramps_of, start_ramp, stop_ramp
from watchbill.features.capacity.ramps import Ramp, RampStep
from watchbill.features.capacity.reads import (
    Review,
    ReviewLine,
    carried_of,
    curves,
    declared_of,
    event_outlook,
    events_of,
    forecasts,
    history,
    journeys,
    knows_holidays,
    latency_of,
    outlook_of,
    reviews,
    states,
)
from watchbill.features.capacity.usl import Fit

__all__ = [
    "FORECAST",
    "WHOLE",
    "Carried",
    "Component",
    "Curve",
    "Declared",
    "Effect",
    "Exhaustion",
    "Fanout",
    "Fit",
    "Journey",
    "Kind",
    "Outlook",
    "PeakEvent",
    "Ramp",
    "RampStep",
    "Review",
    "ReviewLine",
    "SignOff",
    "State",
    "Stored",
    "bounds_manifest",
    "carried_of",
    "curves",
    "declared_of",
    "event_outlook",
    "events_of",
    "finish_ramp",
    "forecasts",
    "history",
    "journeys",
    "knows_holidays",
    "latency_of",
    "outlook_of",
    "push_demand",
    "ramps_of",
    "reviews",
    "save_curve",
    "sign_off",
    "start_ramp",
    "states",
    "stop_ramp",
    "what_if",
    "withdraw_sign_off",
]
