"""The limit of any service in Falcon under waitress: a body is read, 201 is answered, nothing is checked or stored."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server, fromfd
from typing import Any

import falcon
from waitress import serve

from bench.broker.load import Publisher
from bench.broker.processes import running


class Events:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        response.status, response.media = falcon.HTTP_201, request.get_media()


@contextmanager
def bare() -> Iterator[Publisher]:
    """The process, listening as long as the block runs."""
    with create_server(("127.0.0.1", 0), backlog=1024) as listener, tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "bench.broker.bare", str(listener.fileno())]
        with running(argv, {}, Path(folder) / "log", [listener]):
            yield Publisher(f"http://127.0.0.1:{listener.getsockname()[1]}", "none")


def _serve(descriptor: int) -> None:
    app: Any = falcon.App()
    app.add_route("/v1/events", Events())
    serve(app, sockets=[fromfd(descriptor, -1, -1)], threads=16)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
