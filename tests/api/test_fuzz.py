"""Whatever is sent to the API within its own schema or beside it, the answer is never a 5xx."""

from __future__ import annotations

from collections.abc import Callable

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis.openapi import from_dict

Token = Callable[..., dict[str, str]]


def test_no_generated_request_breaks_the_api(app: Litestar, token: Token) -> None:
    headers = token("admin")
    schema = from_dict(app.openapi_schema.to_schema())
    with TestClient(app, raise_server_exceptions=False) as client:
        for result in schema.get_all_operations():
            _try(result.ok(), client, headers)


def _try(operation: schemathesis.APIOperation, client: TestClient[Litestar], headers: dict[str, str]) -> None:  # type: ignore[type-arg]
    @settings(
        max_examples=5,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def holds(case: schemathesis.Case) -> None:
        asked = case.as_transport_kwargs(base_url="http://testserver.local")
        asked.pop("cookies", None)
        asked["headers"] = {**dict(asked.get("headers") or {}), **headers}
        answer = client.request(**asked)
        assert answer.status_code < 500, f"{case.method} {case.formatted_path}: {answer.text}"
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"]

    holds()
