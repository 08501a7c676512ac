# ruff: noqa: RUF012  msgspec copies an empty list or dict default for each instance
"""The documents of group ``watchbill/v1``, composed of what each feature contributes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from watchbill.manifest.sections.budget import BudgetRules, ExcludeAlone
from watchbill.manifest.sections.capacity import Capacity, PeakEvent
from watchbill.manifest.sections.escalation import Escalation
from watchbill.manifest.sections.gate import Gate
from watchbill.manifest.sections.objectives import Objective
from watchbill.manifest.sections.on_call import OnCall
from watchbill.manifest.sections.rollback import Rollback
from watchbill.manifest.sections.tickets import Tickets
from watchbill.manifest.words import Environment, Login, Name, Part, Role, Source, Text, Tier, Url


class Metadata(Part, frozen=True, kw_only=True):
    """What the thing is called."""

    name: Annotated[Name, Meta(description="Unique in the organisation.")]
    title: Annotated[Text, Meta(description="For people; the name when left out.")] | None = None
    formerly: Annotated[list[Name], Meta(description="Names it had before: it keeps its id, history and links.")] = []


class Member(Part, frozen=True, kw_only=True):
    """A person in a team. A lead may be addressed by an escalation step; a shadow learns and never answers."""

    login: Login
    role: Role = "member"


class TeamSpec(Part, frozen=True, kw_only=True):
    """A group of people that answers for services."""

    members: Annotated[list[Login | Member], Meta(description="Logins; the order is the order of the rotation.")] = []
    fallback: Annotated[bool, Meta(description="Pages of alerts that nobody owns come here; one team at most.")] = False
    time_zone: Annotated[
        str,
        Meta(
            description="IANA name; the rotation's handoffs are in it.",
            extra={"expected": "a time zone such as Europe/Berlin"},
        ),
    ] = "UTC"
    on_call: OnCall | None = None
    escalation: Escalation | None = None
    gate: Annotated[Gate, Meta(description="What stops a deploy of the team's services.")] | None = None
    budget_policy: BudgetRules | None = None
    exclude_alone: ExcludeAlone | None = None
    tickets: Annotated[Tickets, Meta(description="Where slow burns and other tickets go.")] | None = None
    peak_events: Annotated[list[PeakEvent], Meta(max_length=50, description="Peaks the business knows of.")] = []


class Match(Part, frozen=True, kw_only=True):
    """Which spans belong to an operation; every condition given must hold."""

    route: Annotated[Text, Meta(description="Method and http.route, such as 'POST /charge'.")] | None = None
    span_name: Text | None = None
    attributes: Annotated[dict[str, str], Meta(description="Span attributes that must have exactly these values.")] = {}


class Operation(Part, frozen=True, kw_only=True):
    """Something a user does."""

    name: Annotated[Text, Meta(description="Unique in the service, such as 'place order'.")]
    match: Annotated[Match, Meta(description="All root and SERVER spans of the service when left out.")] = Match()
    environment: Environment = "production"
    objectives: (
        Annotated[list[Objective], Meta(description="Availability by tier when left out; [] for none.")] | None
    ) = None


class Telemetry(Part, frozen=True, kw_only=True):
    """How the service appears in its telemetry."""

    service_name: Annotated[Text, Meta(description="OpenTelemetry's service.name; the service's name when left out.")]


class ServiceSpec(Part, frozen=True, kw_only=True):
    """Something that runs, owned by exactly one team."""

    owner: Annotated[
        Name,
        Meta(
            description="The team that answers for it.",
            extra={"missing": "name the one team that answers for it, such as owner: payments"},
        ),
    ]
    tier: Tier = 3
    watch: (
        Annotated[
            Literal["always", "office-hours"],
            Meta(description="Whether its pages wait for office hours, whatever its tier; see escalation.hold."),
        ]
        | None
    ) = None
    depends_on: Annotated[list[Name], Meta(description="Services it calls.")] = []
    runbook: Url | None = None
    repository: Url | None = None
    dashboard: Url | None = None
    sources: Annotated[
        list[Source],
        Meta(
            max_length=20,
            description="What it is to SLOs: prometheus:<server> of WATCHBILL_PROMETHEUS_URLS, clickhouse, otlp, "
            "probes. Its team is paged when that does not answer.",
        ),
    ] = []
    telemetry: Telemetry | None = None
    gate: Annotated[Gate, Meta(description="What stops a deploy.")] | None = None
    budget_policy: BudgetRules | None = None
    exclude_alone: ExcludeAlone | None = None
    rollback: Annotated[Rollback, Meta(description="How it is put back.")] | None = None
    capacity: Annotated[Capacity, Meta(description="What it carries and costs.")] | None = None
    operations: (
        Annotated[
            list[Operation],
            Meta(description="One over all requests when left out; [] for none."),
        ]
        | None
    ) = None


class TeamManifest(Part, frozen=True, kw_only=True):
    """A team: its members, who of them is on call, and who is asked next."""

    api_version: Literal["watchbill/v1"]
    kind: Literal["Team"]
    metadata: Metadata
    spec: TeamSpec


class ServiceManifest(Part, frozen=True, kw_only=True):
    """A service: its owner, what it depends on, and what it promises."""

    api_version: Literal["watchbill/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


KINDS: dict[str, type[TeamManifest] | type[ServiceManifest]] = {"Team": TeamManifest, "Service": ServiceManifest}

DEFAULT_OPERATION = Operation(name="all requests")
"""What a service that names no operation is measured by."""
