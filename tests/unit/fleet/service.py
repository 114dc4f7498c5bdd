"""An instance of the service, as far as load balancers and the operator ask it."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

VERSION = "1.1.0"


class Service(ThreadingHTTPServer):
    """An instance: ready on a version, and strangers are refused. A test says otherwise with `answers`, by path.

    What asks for /held waits for `release`.
    """

    daemon_threads = True

    def __init__(self, name: str, version: str = VERSION, port: int = 0) -> None:
        health = json.dumps({"status": "ready", "version": version, "instance": name})
        self.answers: dict[str, tuple[int, str]] = {"/health/ready": (200, health), "/v1/events": (401, "{}")}
        self.release = Event()
        super().__init__(("127.0.0.1", port), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def health(self, code: int = 200, /, **changes: Any) -> None:
        """What it says of itself."""
        body = json.loads(self.answers["/health/ready"][1])
        self.answers["/health/ready"] = (code, json.dumps({**body, **changes}))

    def close(self) -> None:
        """Nobody listens there any more."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """By path, on connections that are kept."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_GET(self) -> None:
        if self.path == "/held":
            self.server.release.wait(30)
        status, body = self.server.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""
