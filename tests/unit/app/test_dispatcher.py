"""The delivery loop on storage and courier in memory: what a stop does, and that each gist goes out once."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app import rules, schema
from app.broker import Broker
from app.delivery.memory import MemoryCourier
from app.dispatcher import Dispatcher
from app.errors import Unavailable
from app.model import Action, Application, Attempt, Delivery, Filters, Page, Publication, Subscription
from app.settings import Settings
from app.storage.memory import MemoryStorage

NOW = datetime.now(UTC)


def storage_with(gists: int, storage: MemoryStorage | None = None) -> MemoryStorage:
    storage = storage or MemoryStorage()
    storage.add_application(Application("shop", "http://x", "secret", b"", "", active=True, timestamped=NOW))
    storage.add_action(Action("a", "shop", {}, 1, NOW))
    storage.subscribe(Subscription(uuid4(), "shop", "a", "/", 5, "", active=True, timestamped=NOW))
    for number in range(gists):
        event = rules.uuid7(NOW, number)
        storage.publish(Publication(event, "a", "shop", {}, {}, None, None, "shop", str(number), b""))
    return storage


def counts(storage: MemoryStorage) -> dict[str, int]:
    gists = storage.gists(Filters(), Page(per_page=1000))
    return {status: sum(gist.status == status for gist in gists) for status in {gist.status for gist in gists}}


class Slow(MemoryCourier):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def deliver(self, delivery: Delivery) -> Attempt:
        attempt = await super().deliver(delivery)
        await self.let.wait()
        return attempt


def broken() -> None:
    raise RuntimeError("a bug")


class Leaving(MemoryStorage):
    """Hands out one gist at a time; with the second something happens, and `release` finds it away."""

    happens: Callable[[], object]
    happened = False

    def claim(self, limit: int, lease: timedelta) -> tuple[Delivery, ...]:
        if self._claims:
            self.happened = True
            self.happens()
        return super().claim(min(limit, 1), lease)

    def release(self, deliveries: tuple[Delivery, ...]) -> None:
        raise Unavailable(f"away, with {len(deliveries)} to release")


async def sent(courier: MemoryCourier, number: int) -> None:
    async with asyncio.timeout(5):
        while len(courier.sent) < number:  # the fake has no event for it
            await asyncio.sleep(0)


def test_a_stop_finishes_what_was_started_and_leaves_the_rest() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(10), Slow()
        dispatcher = Dispatcher(Broker(storage, schema.violations), courier, Settings(envelope=4))
        running = asyncio.create_task(dispatcher.run())
        await sent(courier, 4)
        dispatcher.stop()
        courier.let.set()
        await asyncio.wait_for(running, 5)
        assert counts(storage) == {"delivered": 4, "pending": 6}
        assert (storage.next_due() or 1) <= 0  # nothing is left under a lease

    asyncio.run(scenario())


def test_a_stop_cuts_off_at_the_deadline_and_leaves_that_to_the_lease() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(1), Slow()
        dispatcher = Dispatcher(Broker(storage, schema.violations), courier, Settings(drain_timeout=0.0))
        running = asyncio.create_task(dispatcher.run())
        await sent(courier, 1)
        dispatcher.stop()
        await asyncio.wait_for(running, 5)
        assert counts(storage) == {"pending": 1}
        assert (storage.next_due() or 0) > 0

    asyncio.run(scenario())


@pytest.mark.parametrize("breaks", [False, True])
def test_whatever_ends_it_what_was_started_is_recorded(breaks: bool) -> None:
    async def scenario() -> None:
        storage, courier = Leaving(), Slow()
        storage_with(2, storage)
        dispatcher = Dispatcher(Broker(storage, schema.violations), courier, Settings())
        storage.happens = broken if breaks else dispatcher.stop
        running = asyncio.create_task(dispatcher.run())
        async with asyncio.timeout(5):
            while not storage.happened:
                await asyncio.sleep(0)
        courier.let.set()
        with pytest.raises(RuntimeError) if breaks else contextlib.nullcontext():
            await asyncio.wait_for(running, 5)
        assert counts(storage) == {"delivered": 1, "pending": 1}

    asyncio.run(scenario())


def test_each_gist_goes_out_once_through_a_small_envelope() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(50), MemoryCourier()
        dispatcher = Dispatcher(Broker(storage, schema.violations), courier, Settings(envelope=7))
        running = asyncio.create_task(dispatcher.run())
        await sent(courier, 50)
        dispatcher.stop()
        await asyncio.wait_for(running, 5)
        assert counts(storage) == {"delivered": 50}
        assert len({delivery.gist for delivery in courier.sent}) == len(courier.sent) == 50

    asyncio.run(scenario())


def test_what_belongs_to_a_subscription_that_is_off_is_paused_unsent() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(3), MemoryCourier()
        (subscription,) = storage.subscriptions(Filters(), Page())
        storage.save_subscription(replace(subscription, active=False))
        dispatcher = Dispatcher(Broker(storage, schema.violations), courier, Settings())
        running = asyncio.create_task(dispatcher.run())
        async with asyncio.timeout(5):
            while counts(storage) != {"paused": 3}:
                await asyncio.sleep(0)
        dispatcher.stop()
        await running
        assert courier.sent == []

    asyncio.run(scenario())
