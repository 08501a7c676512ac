"""Watchbill: the control plane for "you build it, you run it"."""

__version__ = "0.1.0"
