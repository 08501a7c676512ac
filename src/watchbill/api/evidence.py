"""Evidence: what a service has shown of the protections of what it calls."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.teams import find_team
from watchbill.features import catalog, evidence, identity
from watchbill.features.evidence import Answer, ServiceEvidence
from watchbill.kernel.errors import Invalid, NotFound

MOST = 1000
Environment = Annotated[str, QueryParameter(description="The environment that its telemetry names.")]


class EvidenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One service in a few words; ``lacking`` are its dependencies with a check that fails."""

    service: str
    answer: Answer
    says: str
    lacking: list[str]


@get("/evidence", sync_to_thread=True)
def list_evidence(
    *,
    caller: GivenCaller,
    db: GivenDb,
    team: Annotated[str | None, QueryParameter(description="Only services that this team owns.")] = None,
    environment: Environment = evidence.PRODUCTION,
    after: Annotated[str, QueryParameter(description="Only names after this one, for the next page.")] = "",
    limit: Annotated[int, QueryParameter(description="At most this many (1 to 1000).")] = 200,
) -> list[EvidenceLine]:
    """What each service has shown of the protections of its dependencies, by name."""
    identity.require(caller, "read")
    if not 1 <= limit <= MOST:
        raise Invalid(f"limit {limit} is not between 1 and {MOST}", field="limit")
    with db.transaction() as tx:
        team_id = find_team(tx, team).id if team else None
        services = catalog.services(tx, team_id=team_id, after_name=after, limit=limit)
        found = [evidence.evidence_of(tx, service=one, environment=environment) for one in services]
    return [
        EvidenceLine(
            service=one.service,
            answer=one.answer,
            says=one.says,
            lacking=[each.dependency for each in one.dependencies if each.answer == "fail"],
        )
        for one in found
    ]


@get("/services/{name:str}/evidence", sync_to_thread=True)
def show_evidence(
    name: FromPath[str], caller: GivenCaller, db: GivenDb, environment: Environment = evidence.PRODUCTION
) -> ServiceEvidence:
    """What one service has shown, dependency by dependency: timeout, breaker, drills, and what is missing."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        service = catalog.service_by_name(tx, name=name)
        if service is None:
            raise NotFound(f"there is no service '{name}'", hint="see `watchbill service list`")
        return evidence.evidence_of(tx, service=service, environment=environment)


handlers = [list_evidence, show_evidence]
