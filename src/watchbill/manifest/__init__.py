"""The file people write: kinds Team and Service of ``watchbill/v1``, each feature contributing its section."""

from watchbill.manifest.applying import Options, Outcome, apply_files
from watchbill.manifest.bundle import Bundle, File
from watchbill.manifest.check import validate
from watchbill.manifest.gather import is_manifest
from watchbill.manifest.plan import Action
from watchbill.manifest.schema import json_schema, schema_text

__all__ = [
    "Action",
    "Bundle",
    "File",
    "Options",
    "Outcome",
    "apply_files",
    "is_manifest",
    "json_schema",
    "schema_text",
    "validate",
]
