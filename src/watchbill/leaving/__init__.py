"""Leave another on-call system behind: exports become manifests, compared minute by minute."""

from watchbill.leaving.compare import Comparison, Difference, compare
from watchbill.leaving.convert import SOURCES, convert
from watchbill.leaving.model import Imported, Note

__all__ = ["SOURCES", "Comparison", "Difference", "Imported", "Note", "compare", "convert"]
