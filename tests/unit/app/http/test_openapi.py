"""The description of the API is valid, whole, and says what the model says."""

from collections.abc import Iterator
from typing import Any

import pytest
from falcon.testing import TestClient
from openapi_spec_validator import validate

from app.__main__ import compose
from app.http import create_app, routes, status_routes
from app.http.docs import docs_routes
from app.http.openapi import METHODS, document
from app.settings import Settings
from app.storage.memory import MemoryStorage

SERVICES = compose(Settings(secret="a secret of thirty-two characters"), MemoryStorage())
ROUTES = (*routes(SERVICES), *status_routes(SERVICES.health))
ALL = (*ROUTES, *docs_routes(ROUTES))
DESCRIBED = document(ALL)


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
