"""SLOs as OpenSLO documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.slos import ServiceName, TeamName, service_id_of, team_id_of
from watchbill.features import catalog, identity, slo
from watchbill.manifest import openslo


@get("/slos/openslo", sync_to_thread=True, summary="OpenSLO documents", tags=["slos"])
def slo_documents(
    caller: GivenCaller, db: GivenDb, team: TeamName = None, service: ServiceName = None
) -> Response[str]:
    """The SLOs as strict OpenSLO v1; what v1 cannot say is in annotations, and reads back as the same SLOs."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        views = slo.slos(tx, team_id=team_id_of(tx, team), service_id=service_id_of(tx, service), limit=10_000)
        found = catalog.operations(tx, service_ids={view.slo.service_id for view in views})
    matches = {operation.id: operation.match for operation in found}
    ordered = sorted(views, key=lambda view: (view.service, view.operation, view.slo.name))
    specs = [_spec(view, matches) for view in ordered]
    taken = Counter(spec.name[: openslo.STEM] for spec in specs)
    for place, view in enumerate(ordered):
        if taken[specs[place].name[: openslo.STEM]] > 1:  # a/b-c and a-b/c: neither may hide the other
            specs[place] = _spec(view, matches, suffix=view.slo.id.hex[-8:])
    return Response(openslo.write(specs), media_type="application/yaml; charset=utf-8")


def _spec(view: slo.SloView, matches: Mapping[UUID, Mapping[str, Any]], *, suffix: str = "") -> openslo.SloSpec:
    return openslo.spec_of(
        view.slo,
        service=view.service,
        operation=view.operation,
        team=view.team,
        match=matches.get(view.slo.operation_id, {}),
        suffix=suffix,
    )


handlers = [slo_documents]
