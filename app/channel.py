"""What waitress does with each request, changed in two places: the end of a connection, and what it refuses itself."""

import json
import uuid
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask

from app.http import errors


class Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """A request; its server has the attribute `health`."""

    def build_response_header(self) -> bytes:
        """While the process drains, as if every client had asked for the connection to be closed."""
        if self.channel.server.health.draining:
            self.request.headers["CONNECTION"] = "close"
        header: bytes = super().build_response_header()
        return header

    def write(self, data: bytes) -> None:
        """A short answer is one piece, its header and its body: a packet each would cost more than all the rest."""
        if self.wrote_header or not self.complete or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header: bool = True
        self.content_bytes_written = len(data)


class Refusal(ErrorTask):  # type: ignore[misc]
    """What never reaches the service, because it is not HTTP or is far too large, answered in the contract's shape."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps(errors.body(error.body, error.code, request_id=uuid.uuid4().hex)).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection of a client; its server has the attribute `loop`."""

    task_class = Task
    error_task_class = Refusal

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  # waitress' own
        super().__init__(*arguments, **named)
        self.server.loop.arm(self)

    def service(self) -> None:
        """On a thread: answer a request, then wait for the next, without a detour over the main thread."""
        super().service()
        self.server.loop.arm(self)
