"""SLOs as OpenSLO documents."""

from __future__ import annotations

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
    specs = [
        openslo.spec_of(
            view.slo,
            service=view.service,
            operation=view.operation,
            team=view.team,
            match=matches.get(view.slo.operation_id, {}),
        )
        for view in sorted(views, key=lambda view: (view.service, view.operation, view.slo.name))
    ]
    return Response(openslo.write(specs), media_type="application/yaml; charset=utf-8")


handlers = [slo_documents]
