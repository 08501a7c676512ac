"""OTLP over HTTP: pure parsing of requests and writing of replies (OpenTelemetry protocol 1.x)."""

from watchbill.intake.otlp.decode import Decoded, decode
from watchbill.intake.otlp.replies import Encoding, export_reply, status_reply

__all__ = ["Decoded", "Encoding", "decode", "export_reply", "status_reply"]
