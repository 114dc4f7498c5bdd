"""GET /metrics and GET /state, on a thread of its own: whoever asks slowly does not hold up the guard."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .report import Report, metrics, state


def serve(listen: str, report: Callable[[], Report]) -> None:
    """Answer until the process ends. Raises OSError when the address is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics(report()))
            elif self.path == "/state":
                self._answer(200, "application/json", json.dumps(state(report())))
            else:
                self._answer(404, "application/json", json.dumps({"error": "there are /metrics and /state"}))

        def _answer(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: it is asked every few seconds."""

    host, _, port = listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, name="serve", daemon=True).start()
