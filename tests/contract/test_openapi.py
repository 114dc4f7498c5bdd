"""schemathesis asks the running service what its description promises, with what fits it and with what does not."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cluster import Cluster
from tests.contract.conftest import new_database
from tests.contract.processes import Client, Processes, login, set_up

# Left out: what is well-formed is often refused all the same, as it names something that is not there, or is there
# already; and the framework answers methods that nobody describes before it asks who is there.
EXCLUDED = "positive_data_acceptance,unsupported_method,ensure_resource_availability,ignored_auth"
PAGES = "^/(docs|metrics)"


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a running service with an application, an action and a subscription, and a token for it."""
    processes = Processes(new_database(cluster), tmp_path_factory.mktemp("openapi"))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        processes.web(listener).await_ready()
        port = listener.getsockname()[1]
        token = login(port)
        set_up(Client(port, token).call, "http://127.0.0.1:9")
        yield f"http://127.0.0.1:{port}", token
    processes.end()


@pytest.mark.parametrize("authorised", [True, False])
def test_every_operation_keeps_its_promises(service: tuple[str, str], tmp_path: Path, *, authorised: bool) -> None:
    url, token = service
    argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--no-color"]
    argv += ["--phases", "examples,coverage,fuzzing", "--max-examples", "4" if authorised else "1", "--seed", "1"]
    argv += ["--exclude-checks", EXCLUDED, "--exclude-path-regex", PAGES, "--suppress-health-check", "all"]
    argv += ["--generation-deterministic", "--warnings", "off"]
    argv += ["--header", f"Authorization: Bearer {token}"] if authorised else []
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-12_000:] + ran.stderr[-3000:]
