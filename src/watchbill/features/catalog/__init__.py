"""The catalog: one owning team for every service, and who is in that team."""

from watchbill.features.catalog.actions import OperationIds, remove, write_services, write_teams
from watchbill.features.catalog.model import (
    Dependencies,
    FieldChange,
    Kind,
    Known,
    Member,
    MemberRole,
    Operation,
    OperationWrite,
    Service,
    ServiceWrite,
    Source,
    Team,
    TeamWrite,
)
from watchbill.features.catalog.reads import (
    dependencies,
    distances,
    fallback_team,
    members,
    operations,
    service_by_name,
    services,
    team_by_name,
    team_ids_of,
    teams,
)
from watchbill.features.catalog.reads import service_by_id as service
from watchbill.features.catalog.reads import team_by_id as team
from watchbill.features.catalog.sources import (
    known,
    lock_catalog,
    remember_source,
    source,
)

__all__ = [
    "Dependencies",
    "FieldChange",
    "Kind",
    "Known",
    "Member",
    "MemberRole",
    "Operation",
    "OperationIds",
    "OperationWrite",
    "Service",
    "ServiceWrite",
    "Source",
    "Team",
    "TeamWrite",
    "dependencies",
    "distances",
    "fallback_team",
    "known",
    "lock_catalog",
    "members",
    "operations",
    "remember_source",
    "remove",
    "service",
    "service_by_name",
    "services",
    "source",
    "team",
    "team_by_name",
    "team_ids_of",
    "teams",
    "write_services",
    "write_teams",
]
