"""Places that keep tickets: one module each, speaking the provider's documented REST API."""

from watchbill.trackers.connections import Connection, Trackers, read_connections

__all__ = ["Connection", "Trackers", "read_connections"]
