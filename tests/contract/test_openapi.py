"""schemathesis asks the running service what its description promises; and what its page shows works as it stands."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.cluster import Cluster
from tests.contract.conftest import new_database
from tests.contract.processes import PASSWORD, USERNAME, Client, Processes, login, set_up


def _cursor(key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, False]).encode()).decode()


# What fits its schema is never a 400; but a 422 it may be, for it may name what is not there. Cursors are the service's
# own, so it gets some that are: made-up ones are sent by test_hostile_requests.py.
CONFIGURED = f"""
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
[[operations]]
include-path-regex = "^/v1/(applications|actions)$"
parameters = {{ cursor = "{_cursor("a")}" }}
[[operations]]
include-path-regex = "^/v1/(events|subscriptions|gists)$"
parameters = {{ cursor = "{_cursor(str(UUID(int=0)))}" }}
"""
ASKED = ("--phases", "examples,coverage,fuzzing", "--seed", "1", "--generation-deterministic")


@pytest.fixture
def service(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a running service with an application "billing", and a token of its administrator."""
    processes = Processes(new_database(cluster), tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        processes.web(listener).await_ready()
        port = listener.getsockname()[1]
        token = login(port)
        billing = {"application": "billing", "address": "http://127.0.0.1:9"}
        assert Client(port, token).call("POST", "/v1/applications", billing)[0] == 201
        yield f"http://127.0.0.1:{port}", token
    processes.end()


@pytest.mark.parametrize("authorised", [True, False], ids=["administrator", "nobody"])
def test_every_operation_keeps_its_promises(service: tuple[str, str], tmp_path: Path, *, authorised: bool) -> None:
    url, token = service
    set_up(Client(int(url.rpartition(":")[2]), token).call, "http://127.0.0.1:9")
    (tmp_path / "schemathesis.toml").write_text(CONFIGURED)
    argv = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{url}/openapi.json",
        *ASKED,
        "--no-color",
        "--warnings",
        "off",
    ]
    argv += ["--max-examples", "4" if authorised else "1"]
    argv += ["--header", f"Authorization: Bearer {token}"] if authorised else []
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-12_000:] + ran.stderr[-3000:]


FIRST = ("/tokens", "/v1/applications", "/v1/actions", "/v1/subscriptions", "/v1/events")  # what makes what others name
EXAMPLE = re.compile(r'<code class="example">(.*?)</code>', re.DOTALL)
KEPT = (409,)  # what an example would remove, and something that another example made still names


def test_every_example_of_the_page_works_as_it_stands(service: tuple[str, str]) -> None:
    url, token = service
    client = Client(int(url.rpartition(":")[2]), token)
    variables = {"AMEBO": url, "AMEBO_USERNAME": USERNAME, "AMEBO_PASSWORD": PASSWORD, "TOKEN": token}
    for command in sorted(_examples(url), key=_rank):
        status, answer = _run(command, variables)
        kept = "-X DELETE" in command and status in KEPT
        assert 200 <= status < 300 or kept, (command, status, answer)
        if "-X POST" in command and isinstance(answer, dict):
            variables |= {name.upper(): answer[name] for name in ("event", "subscription") if name in answer}
        if "EVENT" in variables and "GIST" not in variables:
            (gist,) = client.call("GET", f"/v1/gists?event={variables['EVENT']}")[1]["data"]
            variables["GIST"] = gist["gist"]


def _examples(url: str) -> list[str]:
    page = _run('curl "$AMEBO/docs"', {"AMEBO": url})[1]
    found = [unescape(each) for each in EXAMPLE.findall(page)]
    assert len(found) > 40
    return found


def _rank(command: str) -> tuple[bool, int]:
    """Removals last; before everything else what others name, in that order."""
    path = command.partition('"$AMEBO')[2].partition('"')[0]
    made = [place for place, each in enumerate(FIRST) if "-X POST" in command and path.endswith(each)]
    return "-X DELETE" in command, min(made, default=len(FIRST))


def _run(command: str, variables: dict[str, str]) -> tuple[int, Any]:
    script = f"{command} --silent --show-error --max-time 20 --write-out '\\n%{{http_code}}'"
    environment = {"PATH": os.environ["PATH"], **variables}
    ran = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (command, ran.stderr)
    content, _, status = ran.stdout.rpartition("\n")
    try:
        return int(status), json.loads(content or "null")
    except ValueError:  # a page, or metrics
        return int(status), content
