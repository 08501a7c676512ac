"""Kill switches: turn a feature off in every process, without a deploy.

State comes, the first that speaks wins, from: a call of :meth:`Switch.off` or :meth:`Switch.on` in this process, the
environment (``WATCHBILL_SWITCH_<NAME>=off``), the last document polled over HTTP, the default. A poll that fails
changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from watchbill_sdk import contract
from watchbill_sdk.errors import SwitchedOff
from watchbill_sdk.primitive import Primitive, label
from watchbill_sdk.recorder import RECORDER, Measurement, gauge

_WORDS = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
_polled: dict[str, bool] = {}


def set_polled(states: dict[str, bool]) -> None:
    """Replace what the last poll said: name to on (True) or off (False)."""
    _polled.clear()
    _polled.update(states)


class Switch(Primitive):
    """A feature that can be turned off. ``if switch:``, ``with switch.guard():`` or ``@switch``.

    Raises:
        SwitchedOff: by a guarded call while it is off.
    """

    def __init__(self, name: str, *, default: bool = True) -> None:
        self.name = label(name, "a switch's name")
        self._default = default
        self._local: bool | None = None
        self._variable = "WATCHBILL_SWITCH_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        self._evidence = RECORDER.evidence(name, "switch", "on" if default else "off")
        self._refused = RECORDER.counter(contract.REJECTIONS, name, "switch", SwitchedOff.code)
        RECORDER.watch(self)

    def on(self) -> None:
        """Turn it on here, whatever others say."""
        self._local = True

    def off(self) -> None:
        """Turn it off here, whatever others say."""
        self._local = False

    def follow(self) -> None:
        """Forget :meth:`on` and :meth:`off`: listen to environment, poll and default again."""
        self._local = None

    def __bool__(self) -> bool:
        if self._local is not None:
            return self._local
        word = os.environ.get(self._variable)
        if word is not None and word.strip().lower() in _WORDS:
            return _WORDS[word.strip().lower()]
        return _polled.get(self.name, self._default)

    def begin(self) -> None:
        """Refuse while off."""
        self._evidence.used()
        if not self:
            self._refused.add()
            raise SwitchedOff(f"{self.name} is switched off", dependency=self.name)

    def end(self, held: None, error: BaseException | None) -> None:
        """Nothing to do."""

    def observe(self) -> Iterable[Measurement]:
        """The state as a gauge."""
        yield gauge(contract.SWITCH_STATE, float(bool(self)), self.name)
