"""Why somebody is on call, in words."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from watchbill.features.oncall.model import PRIMARY, SHADOW, Shift

_LEFT = "somebody who has left"


def because(shift: Shift, names: Mapping[UUID, str]) -> str:
    """``on call here because of a swap with bob (dentist)``; ``names`` may lack those who were erased."""
    other = names.get(shift.instead_of, _LEFT) if shift.instead_of else ""
    layer = f" in {shift.layer}" if shift.layer else ""
    said = {
        "rotation": f"it is their turn{layer}",
        "stand-in": f"standing in{layer} for a member who has left",
        "override": f"put on call by an override instead of {other}" if other else "put on call by an override",
        "swap": f"on call here because of a swap with {other}",
        "taken": f"on call here because they took the shift of {other}" if other else "they took the shift",
        "nobody": "nobody is on call",
    }[shift.reason]
    if shift.slot not in {PRIMARY, SHADOW}:
        said = f"{shift.slot}: {said}"
    return f"{said} ({shift.note})" if shift.note else said
