"""Adaptive concurrency limits: how many calls may run at once, learnt from how long they take.

Each algorithm is a frozen value with a pure ``step(sample) -> next value``, after Netflix's concurrency-limits
(https://github.com/Netflix/concurrency-limits, Apache-2.0): :class:`Gradient2`, :class:`Vegas`, :class:`AIMD`; then
:class:`Probing`, which is Gradient2 that experiments while it sheds, and :class:`Fixed`, which never changes.
"""

from watchbill_sdk.limits.aimd import AIMD
from watchbill_sdk.limits.fixed import Fixed
from watchbill_sdk.limits.gradient2 import Gradient2
from watchbill_sdk.limits.model import Algorithm, Sample
from watchbill_sdk.limits.probing import Probing
from watchbill_sdk.limits.vegas import Vegas

__all__ = ["AIMD", "Algorithm", "Fixed", "Gradient2", "Probing", "Sample", "Vegas"]
