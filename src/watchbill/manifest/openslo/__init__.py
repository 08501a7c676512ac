"""SLOs in other tools' formats: OpenSLO (v1, v1alpha, v2alpha), Sloth and Pyrra in, strict OpenSLO v1 out."""

from watchbill.manifest.openslo.files import Found, Reading, mentions_slos, read
from watchbill.manifest.openslo.spec import SloSpec
from watchbill.manifest.openslo.writing import write

__all__ = ["Found", "Reading", "SloSpec", "mentions_slos", "read", "write"]
