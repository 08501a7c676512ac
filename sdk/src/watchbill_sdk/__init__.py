"""Shared reliability primitives for users' services.

The face is empty for now: it is published so that its name and its rules (few dependencies, its own
version, typed) stand from the first day.
"""

__version__ = "0.1.0"
__all__: list[str] = []
