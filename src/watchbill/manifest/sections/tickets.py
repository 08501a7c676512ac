# ruff: noqa: RUF012  msgspec copies an empty list default for each instance
"""``spec.tickets`` of a Team: where its tickets go. Contributed by *tickets*.

The worker reads it from the stored spec (`tickets.rules_of`), so applying it needs nothing more. URLs and tokens are
the operator's, in WATCHBILL_TICKETS_FILE; a manifest only names the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Environment, Name, Part

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Bundle, World

Label = Annotated[
    str, Meta(pattern=r"^[^,\s][^,]{0,49}$", extra={"expected": "a label without commas, at most 50 characters"})
]
JiraLabel = Annotated[
    str, Meta(pattern=r"^[^,\s]{1,50}$", extra={"expected": "a label without spaces and commas, as Jira wants it"})
]
Connection = Annotated[
    Name, Meta(description="Which entry of the operator's WATCHBILL_TICKETS_FILE; the provider's name when left out.")
]


class GithubTickets(Part, frozen=True, kw_only=True):
    """Issues of a GitHub repository."""

    repository: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$",
            extra={"expected": "owner/name, such as acme/payments"},
        ),
    ]
    labels: list[Label] = []
    connection: Connection = "github"


class GitlabTickets(Part, frozen=True, kw_only=True):
    """Issues of a GitLab project."""

    project: Annotated[
        str,
        Meta(
            pattern=r"^([0-9]+|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+)$",
            description="Its path or number.",
            extra={"expected": "a path such as acme/shop/payments, or the project's number in quotes"},
        ),
    ]
    labels: list[Label] = []
    connection: Connection = "gitlab"


class JiraTickets(Part, frozen=True, kw_only=True):
    """Issues of a Jira project."""

    project: Annotated[
        str, Meta(pattern=r"^[A-Z][A-Z0-9_]{1,99}$", description="Its key.", extra={"expected": "a key such as PAY"})
    ]
    issue_type: Annotated[str, Meta(min_length=1, max_length=60, extra={"expected": "such as Task or Bug"})] = "Task"
    labels: list[JiraLabel] = []
    connection: Connection = "jira"


class Tickets(Part, frozen=True, kw_only=True):
    """Where alerts of urgency ticket go: exactly one of channel, github, gitlab and jira."""

    channel: Annotated[Name, Meta(description="A chat channel of the team (`watchbill contact channels`).")] | None = (
        None
    )
    github: GithubTickets | None = None
    gitlab: GitlabTickets | None = None
    jira: JiraTickets | None = None
    when_resolved: Annotated[
        Literal["close", "comment"], Meta(description="What happens to a ticket when its alert ends.")
    ] = "close"
    environments: list[Environment] = msgspec.field(default_factory=lambda: ["production"])
    fallback: (
        Annotated[
            Name,
            Meta(
                description="The team's channel that is told when tickets cannot be made; any other channel, or its "
                "members by e-mail, when left out."
            ),
        ]
        | None
    ) = None


PLACES = ("channel", "github", "gitlab", "jira")


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Exactly one place."""
    for item in bundle.teams:
        tickets = item.manifest.spec.tickets
        if tickets is None:
            continue
        named = [name for name in PLACES if getattr(tickets, name) is not None]
        if len(named) != 1:
            said = f"names {' and '.join(named)}" if named else "names no place"
            hint = f"write exactly one of: {', '.join(PLACES)}"
            yield item.problem("manifest.tickets", f"tickets of {item.name} {said}", ("spec", "tickets"), hint)
        if tickets.fallback is not None and tickets.fallback == tickets.channel:
            yield item.problem(
                "manifest.tickets",
                "fallback is the very channel that tickets go to",
                ("spec", "tickets", "fallback"),
                "name another channel, or leave it out",
            )
        if not tickets.environments:
            hint = "name environments, or leave it out for production"
            yield item.problem(
                "manifest.tickets", "no environment has tickets", ("spec", "tickets", "environments"), hint
            )
