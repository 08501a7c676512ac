"""Evidence through the API, and as the command asks for it."""

from __future__ import annotations

from collections.abc import Callable

from litestar import Litestar
from litestar.testing import TestClient

from tests.contract.evidence.test_evidence_arrives import SHOP, evidence_line
from watchbill.features import evidence
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database


def test_evidence_is_asked_for_one_service_and_listed_for_all(
    client: TestClient[Litestar], token: Callable[..., dict[str, str]], db: Database
) -> None:
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        evidence.record_evidence(tx, seen=[evidence_line(tx.now)])
    viewer = token("viewer")
    found = client.get("/api/v1/services/checkout/evidence", headers=viewer).json()
    assert (found["answer"], found["environment"]) == ("fail", "production")
    assert [(one["dependency"], one["says"]) for one in found["dependencies"]] == [
        ("fraud-api", "no timeout seen, no breaker seen, no drill seen"),
        ("payments-db", "timeout 1s, no breaker seen, no drill seen"),
    ]
    elsewhere = client.get("/api/v1/services/checkout/evidence", params={"environment": "staging"}, headers=viewer)
    assert elsewhere.json()["says"] == "it has told nothing of its protections yet"
    listed = client.get("/api/v1/evidence", params={"team": "payments"}, headers=viewer).json()
    assert next((one["service"], one["answer"], one["lacking"]) for one in listed) == (
        "checkout",
        "fail",
        ["fraud-api", "payments-db"],
    )
    assert client.get("/api/v1/evidence", params={"after": "payments-db"}, headers=viewer).json() == []
    assert client.get("/api/v1/services/nothing/evidence", headers=viewer).status_code == 404
    assert client.get("/api/v1/evidence").status_code == 401
