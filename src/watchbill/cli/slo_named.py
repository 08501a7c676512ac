"""SLOs as people name them on the command line."""

from __future__ import annotations

from watchbill.cli.client import Client
from watchbill.kernel.errors import Invalid


def id_of(client: Client, text: str) -> str:
    """The id of the SLO that somebody named: an id, or service/operation/name.

    Raises:
        Invalid: none is called that, or several are.
    """
    if text.count("-") == 4 and "/" not in text:
        return text
    parts = text.split("/")
    listed = client.get("/api/v1/slos", service=parts[0])["slos"]
    found = [item for item in listed if [item["operation"], item["name"]][: len(parts) - 1] == parts[1:]]
    if len(found) == 1:
        return str(found[0]["id"])
    names = ", ".join(f"{item['service']}/{item['operation']}/{item['name']}" for item in found or listed)
    how_many = "no SLO is" if not found else f"{len(found)} SLOs are"
    raise Invalid(f"{how_many} called '{text}'", hint=f"one of: {names}" if names else "see `watchbill slo list`")
