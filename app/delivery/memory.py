"""Deliveries that go nowhere: remembered, and answered as the test says."""

from collections.abc import Callable
from datetime import UTC, datetime

from app.model import Attempt, Delivery


class MemoryCourier:
    """The port Courier; `answer` gives the HTTP status for a delivery, None for no answer at all."""

    def __init__(self, answer: Callable[[Delivery], int | None] = lambda _: 200) -> None:
        self._answer = answer
        self.sent: list[Delivery] = []

    async def deliver(self, delivery: Delivery) -> Attempt:
        self.sent.append(delivery)
        status = self._answer(delivery)
        return Attempt(delivery.attempt, status, 0, "", None if status else "no answer", datetime.now(UTC))
