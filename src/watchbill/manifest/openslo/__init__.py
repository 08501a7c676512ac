"""SLOs in other tools' formats: OpenSLO (v1, v1alpha, v2alpha), Sloth and Pyrra in, strict OpenSLO v1 out."""

from watchbill.manifest.openslo.files import Found, Reading, mentions_slos, read
from watchbill.manifest.openslo.mapping import Operation, manifests, nobody_owns, operations
from watchbill.manifest.openslo.ours import STEM, spec_of
from watchbill.manifest.openslo.spec import SloSpec
from watchbill.manifest.openslo.writing import as_yaml, write

__all__ = [
    "STEM",
    "Found",
    "Operation",
    "Reading",
    "SloSpec",
    "as_yaml",
    "manifests",
    "mentions_slos",
    "nobody_owns",
    "operations",
    "read",
    "spec_of",
    "write",
]
