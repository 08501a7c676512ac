"""Keep one due row for each team."""

from __future__ import annotations

from watchbill.features import catalog
from watchbill.features.digest import logic, store
from watchbill.features.digest.model import Memory
from watchbill.features.digest.reads import zone_of
from watchbill.runtime import due
from watchbill.runtime.db import Tx


def keep_rows(tx: Tx) -> int:
    """Make the due rows fit the teams; returns how many rows were changed.

    A team that was added gets its row, a removed team's row ends, and a team that moved to another
    zone is planned anew, without a second digest on the same day.
    """
    planned = store.planned(tx)
    teams = {team.id: zone_of(team) for team in catalog.teams(tx)}
    changed = 0
    for team_id, zone in sorted(teams.items()):
        before = planned.get(team_id)
        if before is not None and before.zone == zone:
            continue
        memory = Memory(zone=zone, last=before.last if before else None)
        at = logic.next_digest_at(zone, now=tx.now, last=memory.last)
        if before is None:
            store.plan_if_missing(tx, team_id=team_id, at=at, memory=memory)
        else:
            store.replan(tx, team_id=team_id, at=at, before=before, after=memory)
        changed += 1
    for team_id in sorted(planned.keys() - teams.keys()):
        changed += due.cancel(tx, kind=store.WRITE, subject=team_id)
    return changed
