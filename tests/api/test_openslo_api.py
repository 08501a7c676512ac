"""SLOs leave as OpenSLO and come back as the same."""

from __future__ import annotations

from litestar import Litestar
from litestar.testing import TestClient

from tests.api.conftest import As
from watchbill.manifest import File, openslo

TEAM = """\
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org], fallback: true}
---
"""
SHOP = (
    TEAM
    + """\
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: payments
  operations:
    - name: charge card
      match: {route: POST /charge, attributes: {tenant: eu}}
      objectives:
        - {name: availability, target: 99.9999}
        - {name: complete, target: 99, degraded: bad}
        - name: latency
          target: 99
          threshold: 300ms
          calendar: {every: 1Q, start: 2026-01-01, timeZone: Europe/Berlin}
          alerts: [{tier: page, burn: 14.4, window: 1h, short: 5m}, {tier: ticket, budget: 10, window: 3d}]
    - name: sign in
      match: {spanName: sign in}
      objectives:
        - {name: reachable, target: 99.5, window: 28d, probe: {url: "https://shop.example.org", status: 200}}
        - {name: queue, target: 99, metric: {gauge: {name: depth, where: {queue: [a, b]}}, atMost: 100, atLeast: 0.5}}
        - {name: told, target: 90, window: 7d, pushed: true, timeSlices: {target: 95, length: 5m}}
        - name: counted
          target: 99.5
          window: 28d
          prometheus: {total: "sum(increase(r[$window]))", bad: "sum(increase(e[$window]))", server: eu}
          timeSlices: {weighted: true}
    - {name: sign, match: {spanName: sign}, objectives: [{name: in-told, target: 90, window: 7d, pushed: true}]}
"""
)


def test_what_is_exported_as_openslo_applies_as_the_same_slos(client: TestClient[Litestar], token: As) -> None:
    admin = token("admin")

    def apply(*files: str) -> dict[str, int]:
        sent = [{"path": f"{number}.yaml", "text": text, "named": True} for number, text in enumerate(files)]
        answer = client.post("/api/v1/apply", json={"source": "shop", "files": sent}, headers=admin)
        assert answer.status_code == 200, answer.text
        found: dict[str, int] = answer.json()
        return found

    assert apply(SHOP)["added"] == 2
    before = {one["id"]: one for one in client.get("/api/v1/slos", headers=admin).json()["slos"]}
    assert len(before) == 8
    exported = client.get("/api/v1/slos/openslo", headers=token("viewer")).text
    reading = openslo.read([File(path="x.yaml", text=exported)])
    assert reading.problems == []
    assert len({one.spec.name for one in reading.slos}) == 8, "'sign in'/told and sign/in-told hide each other nowhere"
    apply(TEAM, exported)
    after = {one["id"]: one for one in client.get("/api/v1/slos", headers=admin).json()["slos"]}
    assert after == before
    assert client.get("/api/v1/slos/openslo", headers=admin).text == exported
    counted_apart = SHOP.replace("pushed: true,", "pushed: true, degraded: apart,")
    refused = client.post(
        "/api/v1/apply",
        json={"source": "shop", "files": [{"path": "a.yaml", "text": counted_apart, "named": True}]},
        headers=admin,
    )
    assert "where nothing is marked as degraded" in refused.text
    assert client.get("/api/v1/slos/openslo", headers=admin, params={"service": "nobody"}).status_code == 404
