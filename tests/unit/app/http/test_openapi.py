"""The description of the API is valid, whole, and says what the model says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from falcon.testing import TestClient
from openapi_spec_validator import validate

from app import rules
from app.__main__ import compose
from app.http import create_app, routes, status_routes
from app.http.docs import curl, docs_routes
from app.http.openapi import DELIVERY, DELIVERY_HEADERS, METHODS, document
from app.http.operations import Operation
from app.model import Delivery
from app.settings import Settings
from app.storage.memory import MemoryStorage

SERVICES = compose(Settings(secret="a secret of thirty-two characters"), MemoryStorage())
ROUTES = (*routes(SERVICES), *status_routes(SERVICES.health))
ALL = (*ROUTES, *docs_routes(ROUTES))
DESCRIBED = document(ALL)
LIMITED = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    return ((path, method, each) for path, methods in DESCRIBED["paths"].items() for method, each in methods.items())


def test_it_is_openapi_3_1() -> None:
    validate(DESCRIBED)
    assert DESCRIBED["openapi"].startswith("3.1")


def test_every_responder_says_what_it_does() -> None:
    silent = [
        f"{method.upper()} {path}"
        for path, resource in ALL
        for method in METHODS
        if hasattr(resource, f"on_{method}") and not hasattr(getattr(resource, f"on_{method}"), "operation")
    ]
    assert silent == []


def test_every_example_of_a_body_is_one_that_would_be_taken() -> None:
    found: list[Operation] = [
        getattr(resource, f"on_{method}").operation
        for _, resource in ALL
        for method in METHODS
        if hasattr(resource, f"on_{method}")
    ]
    shapes = [each.body for each in found if each.body is not None]
    assert len(shapes) > 10
    assert [each.example for each in shapes if each.check.violations(each.example)] == []


def test_a_delivery_is_described_as_it_is_sent() -> None:
    identity, now = UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)
    sent = Delivery(
        gist=identity,
        claim=identity,
        event=identity,
        subscription=identity,
        action="order.placed",
        application="shop",
        payload="{}",
        metadata="{}",
        timestamped=now,
        wanted=now,
        url="http://127.0.0.1:9",
        secrets=("a secret",),
        attempt=1,
        retries=0,
        max_retries=5,
        active=True,
    )
    body = rules.envelope(sent)
    assert rules.delivery_headers(sent, body, now).keys() == {"Content-Type", *DELIVERY_HEADERS}
    assert json.loads(body).keys() == DELIVERY["properties"].keys()


@pytest.mark.parametrize(
    ("path", "method", "status", "headers"),
    [
        ("/v1/events", "get", "200", {"X-Request-ID"} | LIMITED),
        ("/v1/events", "post", "429", {"X-Request-ID", "Retry-After"} | LIMITED),
        ("/v1/events", "post", "401", {"X-Request-ID", "WWW-Authenticate"} | LIMITED),
        ("/health/ready", "get", "503", {"X-Request-ID", "Retry-After"}),
    ],
)
def test_answers_tell_of_their_headers(path: str, method: str, status: str, headers: set[str]) -> None:
    assert DESCRIBED["paths"][path][method]["responses"][status]["headers"].keys() == headers


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/docs"])
def test_what_is_never_limited_promises_no_429(path: str) -> None:
    assert "429" not in DESCRIBED["paths"][path]["get"]["responses"]


def test_a_command_leaves_to_the_shell_what_it_cannot_know() -> None:
    described = DESCRIBED["paths"]["/v1/backfills"]["post"]
    assert curl("POST", "/v1/backfills", described).splitlines() == [
        'curl -X POST "$AMEBO/v1/backfills" \\',
        '  -H "Authorization: Bearer $TOKEN" \\',
        "  -H 'Content-Type: application/json' \\",
        """  -d '{"subscription": "'"$SUBSCRIPTION"'", "from": "2026-01-01T00:00:00Z"}'""",
    ]


def test_no_two_operations_have_one_name() -> None:
    names = [each["operationId"] for _, _, each in operations()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("path", ["/v1/tokens", "/health", "/health/ready", "/metrics", "/openapi.json", "/docs"])
def test_what_is_public_needs_no_credentials(path: str) -> None:
    assert [each["security"] for where, _, each in operations() if where == path] == [[]]


def test_everything_else_needs_them() -> None:
    public = {path for path, resource in ALL if getattr(resource, "public", False)}
    assert all(each["security"] and "401" in each["responses"] for path, _, each in operations() if path not in public)


def test_no_schema_knows_a_secret() -> None:
    kept_secret = {"secret", "previous_secret", "apikey_hash", "lane", "position"}
    for schema in DESCRIBED["components"]["schemas"].values():
        assert kept_secret.isdisjoint(schema["properties"])


def test_the_service_answers_with_it_and_with_a_page() -> None:
    client = TestClient(create_app(SERVICES))
    assert client.simulate_get("/openapi.json").json == DESCRIBED
    page = client.simulate_get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert all(each["operationId"] in page.text for _, _, each in operations())
    assert "http://" not in page.text.replace("http://127.0.0.1", "")  # nothing is fetched from elsewhere
