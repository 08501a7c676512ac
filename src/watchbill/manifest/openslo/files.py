"""Find the SLOs in files of any of the formats, and read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.bundle import File
from watchbill.manifest.openslo import openslo, pyrra, sloth, v1alpha
from watchbill.manifest.openslo.place import Place, places
from watchbill.manifest.openslo.spec import Alert, SloSpec
from watchbill.runtime.yaml import parse

_MENTION = re.compile(
    r"^[-\s]*[\"']?(?:apiVersion|version)[\"']?\s*:\s*[\"']?"
    r"(?:openslo(?:\.com)?/|prometheus/v1\b|sloth\.slok\.dev/|pyrra\.dev/)",
    re.MULTILINE,
)


_OPENSLO = re.compile(r"^[-\s]*[\"']?apiVersion[\"']?\s*:\s*[\"']?openslo(?:\.com)?/", re.MULTILINE)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO and where it stands."""

    spec: SloSpec
    place: Place


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found. ``services``: OpenSLO's own Service documents, by name."""

    slos: list[Found]
    services: dict[str, Place]
    places: list[Place]
    unreadable: list[Problem]

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong so far, as far as it was looked at."""
        return [*self.unreadable, *(problem for place in self.places for problem in place.problems)]


def mentions_slos(text: str) -> bool:
    """Whether a file claims to hold SLOs of one of these formats."""
    return _MENTION.search(text) is not None


def mentions_openslo(text: str) -> bool:
    """Whether a file claims to hold OpenSLO."""
    return _OPENSLO.search(text) is not None


def read(files: Iterable[File]) -> Reading:
    """Read OpenSLO (v1, v1alpha, v2alpha), Sloth and Pyrra in these files; other documents are passed over.

    References are followed among all files. Every problem comes with its place; an SLO with an error is left out.
    """
    every: list[Place] = []
    problems: list[Problem] = []
    for file in files:
        documents, bad = parse(file.text, file=file.path)
        problems += bad
        every += [place for document in documents for place in places(document)]
    library = openslo.Library()
    found: list[Found] = []
    windows: dict[str, list[Alert]] = {}
    for place in every:  # windows first: the SLOs of Sloth use them, in whichever order the files come
        if _version(place) == sloth.GROUP and place.data.get("kind") == "AlertWindows":
            said = sloth.windows(place)
            windows |= {said[0]: said[1]} if said else {}
    for place in every:
        found += [Found(spec=spec, place=place) for spec in _read_one(place, library, windows)]
    found += [Found(spec=spec, place=place) for place, spec in library.specs()]
    services = {name: named[0] for name, named in library.known["Service"].items()}
    return Reading(slos=found, services=services, places=every, unreadable=problems)


def _read_one(place: Place, library: openslo.Library, windows: dict[str, list[Alert]]) -> list[SloSpec]:
    """The SLOs of one document; those of OpenSLO v1 and v2alpha wait in the library until all is read."""
    version = _version(place)
    if version in (openslo.V1, openslo.V2ALPHA):
        library.add(place, lenient=version == openslo.V2ALPHA)
    elif version in (v1alpha.VERSION, pyrra.GROUP):
        spec = v1alpha.read(place) if version == v1alpha.VERSION else pyrra.read(place)
        return [spec] if spec else []
    elif version in (sloth.VERSION, sloth.GROUP):
        return [] if place.data.get("kind") == "AlertWindows" else sloth.read(place, windows)
    elif version is not None and version.startswith(("openslo", "pyrra.dev", "sloth.slok.dev")):
        hint = f"known: {openslo.V1}, {openslo.V2ALPHA}, {v1alpha.VERSION}, {sloth.VERSION}, {pyrra.GROUP}"
        place.note("openslo.version", f"the version '{version}' is not known here", ("apiVersion",), hint)
    return []


def _version(place: Place) -> str | None:
    data = place.data
    if not isinstance(data, dict):
        return None
    version = data.get("apiVersion", data.get("version"))
    return version if isinstance(version, str) else None
