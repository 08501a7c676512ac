"""The processes, as data. Imports nothing heavy: the supervisor reads this and stays small."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from watchbill.kernel.errors import NotFound

SUPERVISOR = "WATCHBILL_SUPERVISOR"
"""In a child's environment: the process id of its supervisor."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of one purpose."""

    size: int
    statement_timeout_ms: int = 15_000


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of process.

    ``build`` is ``module:function``, called with a `compose.Context`. ``port`` names the field of `Settings`
    it serves HTTP on; None means only its health is served.
    """

    name: str
    duty: str
    build: str
    pools: Mapping[str, Pool]
    port: str | None = None
    health_port: int = 0


PLANS: Mapping[str, ProcessPlan] = {
    plan.name: plan
    for plan in (
        ProcessPlan(
            name="server",
            duty="intake, JSON API and web UI",
            build="watchbill.processes.server:build",
            port="port",
            pools={"health": Pool(size=2, statement_timeout_ms=5_000)},
        ),
        ProcessPlan(
            name="pager",
            duty="moves pages and sends notifications",
            build="watchbill.processes.pager:build",
            pools={"pager": Pool(size=12)},
            health_port=8081,
        ),
        ProcessPlan(
            name="observer",
            duty="takes OTLP, keeps SLI counts, evaluates SLOs",
            build="watchbill.processes.observer:build",
            port="otlp_port",
            pools={"observer": Pool(size=6, statement_timeout_ms=60_000)},
        ),
        ProcessPlan(
            name="worker",
            duty="whatever may wait: records, digests, retention",
            build="watchbill.processes.worker:build",
            pools={"worker": Pool(size=6, statement_timeout_ms=300_000)},
            health_port=8082,
        ),
    )
}

RUNNER = ProcessPlan(name="runner", duty="carries out rollbacks of this machine", build="", pools={})
"""Not a process of control: it calls the API like any team's runner, and only ``up --local-runner`` starts it."""


def plan_of(name: str) -> ProcessPlan:
    """The plan of a process.

    Raises:
        NotFound: there is no such process.
    """
    if name not in PLANS:
        raise NotFound(f"there is no process '{name}'", hint=f"one of: {', '.join(PLANS)}")
    return PLANS[name]
