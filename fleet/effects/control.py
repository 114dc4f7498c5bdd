"""Runs on a load balancer, not here: asks nginx, and prints the answers as JSON.

It travels as `python3 -c`, so it needs nothing but the host's own Python. Its argument is a JSON list of requests:
{"method", "url", "headers", "body", "times"}; it prints a list of lists of [status, body]; status 0: nobody answers.
{"holds": an address} is answered with status 200 where this host has it, else 404.
"""

import json
import socket
import sys
import urllib.error
import urllib.request

# Whatever proxy a login here is given: it could not reach this host's loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(request: dict[str, object]) -> tuple[int, str]:
    """One request: whatever the answer is, it is an answer."""
    if "holds" in request:
        return (200 if holds(str(request["holds"])) else 404), ""
    body = request.get("body")
    made = urllib.request.Request(  # noqa: S310  # the operator's own program names the address: this host
        str(request["url"]),
        method=str(request["method"]),
        headers=dict(request.get("headers") or {}),  # type: ignore[call-overload]  # of strings, as ops.py wrote it
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with _DIRECT.open(made, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        return 0, f"{type(error).__name__}: {error}"


def holds(address: str) -> bool:
    """Only an address of its own can a host listen on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def main(requests: list[dict[str, object]]) -> None:
    """Each as often as it says."""
    json.dump([[ask(request) for _ in range(int(str(request.get("times", 1))))] for request in requests], sys.stdout)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
