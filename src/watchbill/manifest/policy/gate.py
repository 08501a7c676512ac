"""The gate's policy of a service as manifests would have it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from watchbill.features import catalog, gates
from watchbill.features.gates import Policy
from watchbill.kernel.errors import Invalid
from watchbill.manifest.bundle import File, spec_of
from watchbill.manifest.check import validate
from watchbill.runtime.db import Tx


def proposed_gate(tx: Tx, *, files: Iterable[File], service: catalog.Service) -> Policy:
    """What would hold for the service were these manifests applied; what they leave out is as it is.

    Raises:
        Invalid: the manifests have errors, or speak neither of the service nor of its team.
    """
    bundle, problems = validate(list(files), external=True)
    errors = [each for each in problems if each.severity == "error"]
    if errors:
        raise Invalid("the manifests have errors; nothing was replayed", code="manifest_invalid", problems=errors)
    own = next((item for item in bundle.services if item.name == service.name), None)
    owner = catalog.team(tx, id=service.team_id)
    if own is not None and own.manifest.spec.owner != owner.name:
        owner = catalog.team_by_name(tx, name=own.manifest.spec.owner) or owner
    team = next((item for item in bundle.teams if item.name == owner.name), None)
    if own is None and team is None:
        raise Invalid(
            f"these manifests speak neither of {service.name} nor of its team {owner.name}",
            field="files",
            hint="give the file in which its gate is to change",
        )
    if own is not None:
        service = msgspec.structs.replace(service, tier=own.manifest.spec.tier, spec=spec_of(own))
    if team is not None:
        owner = msgspec.structs.replace(owner, spec=spec_of(team))
    return gates.policy_of(service, owner)
