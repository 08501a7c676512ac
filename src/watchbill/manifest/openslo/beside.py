"""OpenSLO documents beside manifests: their SLOs join the services that are described, or describe new ones."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.bundle import File, ServiceItem
from watchbill.manifest.documents import ServiceManifest
from watchbill.manifest.openslo import mapping
from watchbill.manifest.openslo.files import mentions_openslo, read
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.suggest import did_you_mean


def join(files: Iterable[File], services: list[ServiceItem]) -> tuple[list[ServiceItem], list[Problem]]:
    """The services with the SLOs of these files among their operations, and what is wrong with those.

    In a file that was not named by the user (found in a folder) mistakes are warnings: it may be meant for other tools.
    """
    chosen = [file for file in files if mentions_openslo(file.text)]
    if not chosen:
        return services, []
    reading = read(chosen)
    made = mapping.operations(reading)
    known = {item.name: item for item in services}
    extra: dict[str, list[mapping.Operation]] = {}
    for one in made:
        if one.service in known or any(each.owner for each in made if each.service == one.service):
            extra.setdefault(one.service, []).append(one)
        else:
            hint = did_you_mean(one.service, known) or (
                "describe it in a Service manifest, or say who owns it: metadata.annotations: watchbill/owner: payments"
            )
            one.place.note(
                "openslo.owner", f"nobody says who owns the service '{one.service}'", ("spec", "service"), hint
            )
    joined = [_with(item, extra.pop(item.name)) if item.name in extra else item for item in services]
    for name, operations in extra.items():
        [document] = mapping.manifests(operations)
        joined.append(ServiceItem(operations[0].place.document, _manifest(document, operations[0].place, name)))
    noted = [problem for place in reading.places for problem in place.problems]  # what is no YAML is told by the caller
    named = {file.path for file in chosen if file.named}
    return joined, [problem if _file(problem) in named else _warning(problem) for problem in noted]


def _with(item: ServiceItem, operations: list[mapping.Operation]) -> ServiceItem:
    data: dict[str, Any] = msgspec.to_builtins(item.manifest, builtin_types=(Decimal,))
    written = [msgspec.to_builtins(each, builtin_types=(Decimal,)) for each in item.operations]
    for one in operations:
        mapping.merge(written, one.data)
    data["spec"]["operations"] = written
    return ServiceItem(item.document, _manifest(data, operations[0].place, item.name))


def _manifest(data: dict[str, Any], place: Place, name: str) -> ServiceManifest:
    try:
        return msgspec.convert(data, ServiceManifest)
    except msgspec.ValidationError as error:  # what mapping writes is checked before; this names what it missed
        place.note("openslo.type", f"the service '{name}' cannot be written: {error}", (), "see docs/guides")
        data = {**data, "spec": {**data["spec"], "operations": []}}
        return msgspec.convert(data, ServiceManifest)


def _file(problem: Problem) -> str:
    return (problem.place or "::").rsplit(":", 2)[0]


def _warning(problem: Problem) -> Problem:
    return msgspec.structs.replace(problem, severity="warning")
