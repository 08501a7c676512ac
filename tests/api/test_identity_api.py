"""People, tokens, contact methods and integrations through the API."""

from __future__ import annotations

from collections.abc import Callable

from litestar import Litestar
from litestar.testing import TestClient

from watchbill.features import identity
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

Token = Callable[..., dict[str, str]]
Client = TestClient[Litestar]
SYSTEM = ledger.system("test")


def session_of(db: Database, login: str) -> dict[str, str]:
    """Cookie and CSRF header of a person who is signed in."""
    with db.transaction() as tx:
        person = identity.ensure_person(tx, login=login)
        identity.set_password(tx, person_id=person.id, password="correct horse", actor=SYSTEM)
        secret = identity.sign_in(tx, login=login, password="correct horse")
        csrf = identity.caller_of_session(tx, secret=secret).csrf or ""
    return {"cookie": f"{identity.SESSION_COOKIE}={secret}", "x-csrf-token": csrf}


def test_nobody_is_let_in_without_credentials(client: Client) -> None:
    answer = client.get("/api/v1/people")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert "Bearer" in answer.json()["error"]["hint"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_token_and_a_revoked_one_look_the_same(client: Client, db: Database, token: Token) -> None:
    headers = token("admin")
    with db.transaction() as tx:
        identity.revoke_token(tx, token_id=identity.tokens(tx)[0].id, actor=SYSTEM)
    revoked = client.get("/api/v1/me", headers=headers)
    wrong = client.get("/api/v1/me", headers={"authorization": "Bearer wb_nonsense"})
    assert (revoked.status_code, wrong.status_code) == (401, 401)
    assert revoked.json() == wrong.json()


def test_a_token_says_who_it_is(client: Client, token: Token) -> None:
    answer = client.get("/api/v1/me", headers=token("responder"))
    assert answer.status_code == 200
    assert answer.json()["role"] == "responder"
    assert answer.json()["kind"] == "token"


def test_an_admin_makes_a_token_that_works_until_it_is_revoked(client: Client, token: Token) -> None:
    admin = token("admin")
    made = client.post("/api/v1/tokens", headers=admin, json={"name": "ci", "role": "viewer"})
    assert made.status_code == 201
    secret = made.json()["token"]
    assert secret.startswith("wb_")
    ci = {"authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/me", headers=ci).json()["name"] == "ci"
    listed = client.get("/api/v1/tokens", headers=admin).json()
    assert secret not in str(listed)
    assert next(item for item in listed if item["name"] == "ci")["last_used_at"] is not None
    assert client.delete("/api/v1/tokens/ci", headers=admin).status_code == 204
    assert client.get("/api/v1/me", headers=ci).status_code == 401


def test_a_taken_name_is_a_conflict_that_names_the_field(client: Client, token: Token) -> None:
    answer = client.post("/api/v1/tokens", headers=token("admin"), json={"name": "admin-test", "role": "viewer"})
    assert answer.status_code == 409
    assert answer.json()["error"]["field"] == "name"


def test_a_responder_makes_no_token(client: Client, token: Token) -> None:
    answer = client.post("/api/v1/tokens", headers=token("responder"), json={"name": "x", "role": "admin"})
    assert answer.status_code == 403
    assert "admins" in answer.json()["error"]["message"]


def test_a_wrong_body_says_which_field(client: Client, token: Token) -> None:
    admin = token("admin")
    answer = client.post("/api/v1/tokens", headers=admin, json={"name": "x", "role": "king"})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "role"
    broken = client.post("/api/v1/tokens", headers={**admin, "content-type": "application/json"}, content=b'{"name":')
    assert broken.status_code == 400
    assert broken.json()["error"]["code"] == "invalid"


def test_an_unknown_route_is_told_in_our_own_words(client: Client, token: Token) -> None:
    answer = client.get("/api/v1/nothing", headers=token("admin"))
    assert answer.status_code == 404
    assert answer.json()["error"]["hint"]


def test_a_browser_session_reads_and_changes_only_with_its_csrf_token(client: Client, db: Database) -> None:
    alice = session_of(db, "alice@example.org")
    assert client.get("/api/v1/me", headers={"cookie": alice["cookie"]}).json()["login"] == "alice@example.org"
    change = {"time_zone": "Europe/Berlin"}
    without = client.patch("/api/v1/me", headers={"cookie": alice["cookie"]}, json=change)
    assert (without.status_code, without.json()["error"]["code"]) == (403, "csrf")
    wrong = client.patch("/api/v1/me", headers={**alice, "x-csrf-token": "guess"}, json=change)
    assert wrong.status_code == 403
    assert client.patch("/api/v1/me", headers=alice, json=change).json()["time_zone"] == "Europe/Berlin"


def test_signing_out_everywhere_ends_the_session(client: Client, db: Database) -> None:
    alice = session_of(db, "alice@example.org")
    assert client.delete("/api/v1/me/sessions", headers=alice).status_code == 204
    assert client.get("/api/v1/me", headers=alice).status_code == 401


def test_alice_adds_and_removes_her_own_address_and_bob_cannot_see_it(client: Client, db: Database) -> None:
    alice, bob = session_of(db, "alice@example.org"), session_of(db, "bob@example.org")
    new = {"channel": "ntfy", "address": "https://ntfy.example.org/alice"}
    made = client.post("/api/v1/people/me/contact-methods", headers=alice, json=new)
    assert made.status_code == 201
    assert made.json()["position"] == 1
    path = "/api/v1/people/alice@example.org/contact-methods"
    assert [item["channel"] for item in client.get(path, headers=alice).json()] == ["email", "ntfy"]
    assert client.get(path, headers=bob).status_code == 403
    assert client.delete(f"{path}/{made.json()['id']}", headers=bob).status_code == 403
    assert client.delete(f"{path}/{made.json()['id']}", headers=alice).status_code == 204


def test_an_impossible_address_is_refused_with_a_mend(client: Client, db: Database) -> None:
    alice = session_of(db, "alice@example.org")
    answer = client.post(
        "/api/v1/people/me/contact-methods", headers=alice, json={"channel": "email", "address": "not one"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["hint"]


def test_an_invitation_lets_one_person_in_once(client: Client, db: Database, token: Token) -> None:
    answer = client.post("/api/v1/people", headers=token("admin"), json={"login": "carol@example.org"})
    assert answer.status_code == 201
    assert "/invitation/" in answer.json()["url"]
    assert answer.json()["person"]["joined"] is False


def test_an_erased_person_is_gone_but_the_ledger_stays(client: Client, db: Database, token: Token) -> None:
    """people.erased"""
    admin = token("admin")
    alice = session_of(db, "alice@example.org")
    person_id = client.get("/api/v1/me", headers=alice).json()["id"]
    assert client.delete("/api/v1/people/alice@example.org", headers=admin).status_code == 204
    assert client.get("/api/v1/people/alice@example.org", headers=admin).status_code == 404
    assert client.get("/api/v1/me", headers=alice).status_code == 401
    with db.transaction() as tx:
        entries = ledger.entries(tx, subject=("person", person_id))
    assert entries[-1].name == "person.erased"
    assert "alice" not in str([entry.data for entry in entries])


def test_an_integration_gives_its_key_once_and_where_to_send(client: Client, token: Token) -> None:
    admin = token("admin")
    made = client.post("/api/v1/integrations", headers=admin, json={"name": "prom", "format": "prometheus"}).json()
    assert made["url"].endswith(f"/in/{made['key']}/api/v2/alerts")
    assert made["key"] not in client.get("/api/v1/integrations", headers=admin).text
    assert client.delete("/api/v1/integrations/prom", headers=admin).status_code == 204


def test_status_names_the_schema_and_the_processes(client: Client, token: Token) -> None:
    status = client.get("/api/v1/status", headers=token("viewer")).json()
    assert status["schema"] == status["schema_wanted"]
    states = {process["name"]: process["state"] for process in status["processes"]}
    assert states == {"server": "up", "pager": "up", "observer": "down", "worker": "up"}
    assert [warning["code"] for warning in status["warnings"]] == ["paging.no_last_resort"]


def test_every_answer_has_the_security_headers(client: Client) -> None:
    for path in ("/api/v1/me", "/api/openapi.json", "/api/v1/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_openapi_is_3_1_and_lists_the_nouns(client: Client) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/tokens" in document["paths"]


def test_a_guesser_is_told_to_wait_and_a_known_token_still_works(client: Client, token: Token) -> None:
    good = token("viewer")
    answers = [client.get("/api/v1/me", headers={"authorization": f"Bearer wb_{n}"}).status_code for n in range(70)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert client.get("/api/v1/me", headers=good).status_code == 200


def test_a_database_that_is_away_is_503_with_retry_after(settings: object, token: Token) -> None:
    from watchbill.api.app import create_app
    from watchbill.api.pools import Lanes
    from watchbill.runtime.config import Settings

    assert isinstance(settings, Settings)
    lanes = Lanes.over(lambda name, size: Database("postgresql://x:y@127.0.0.1:9/none", name=name, pool_size=size))
    with TestClient(create_app(settings=settings, lanes=lanes)) as client:
        answer = client.get("/api/v1/me", headers={"authorization": "Bearer wb_x"})
    lanes.close()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "database_away"
