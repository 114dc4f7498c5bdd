"""The delivery loop on storage and courier in memory: what a stop does, that each gist goes out once, and fairness."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from app import rules
from app.broker import Broker
from app.delivery.memory import MemoryCourier
from app.dispatcher import Dispatcher
from app.errors import Unavailable
from app.minutes import Minutes
from app.model import (
    Action,
    Application,
    Attempt,
    Claim,
    Completion,
    Delivery,
    Filters,
    Gist,
    Page,
    Publication,
    Room,
    Status,
    Subscription,
)
from app.settings import Settings
from app.storage.memory import MemoryStorage

NOW = datetime.now(UTC)
SHOP = Application("shop", "http://x", "secret", b"", "", active=True, timestamped=NOW)


def subscription(handler: str = "/", **fields: object) -> Subscription:
    common = Subscription(uuid4(), "shop", "a", handler, 5, "", active=True, timestamped=NOW)
    return replace(common, **fields)  # type: ignore[arg-type]  # fields of a subscription


def storage_with(gists: int, storage: MemoryStorage | None = None, *subscriptions: Subscription) -> MemoryStorage:
    """So many events for one subscription, or for each of several."""
    storage = storage or MemoryStorage()
    storage.add_application(SHOP, "@admin")
    storage.add_action(Action("a", "shop", {}, 1, NOW), "@admin")
    for each in subscriptions or (subscription(),):
        storage.subscribe(each, "shop")
    for number in range(gists):
        publish(storage, number)
    return storage


def publish(storage: MemoryStorage, number: int) -> None:
    event = rules.uuid7(NOW, number)
    metadata = {"key": "same"}
    lane, revision = rules.lane(metadata), storage.revision()
    storage.publish([Publication(event, "a", "shop", {}, metadata, None, None, "shop", None, b"", lane, revision)])


def dispatcher(storage: MemoryStorage, courier: MemoryCourier, **settings: object) -> Dispatcher:
    chosen = Settings(**settings)  # type: ignore[arg-type]  # fields of settings
    return Dispatcher(Broker(storage), courier, Minutes(storage), chosen)


def gists(storage: MemoryStorage, **filters: object) -> tuple[Gist, ...]:
    return storage.gists(Filters(**filters), Page(per_page=1000))  # type: ignore[arg-type]  # fields of filters


def counts(storage: MemoryStorage) -> dict[str, int]:
    statuses = [str(gist.status) for gist in gists(storage)]
    return {status: statuses.count(status) for status in statuses}


class Slow(MemoryCourier):
    """Answers when it is let; `hangs` are the subscriptions that it is not let for."""

    def __init__(self, *hangs: UUID) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self._hangs = hangs

    async def deliver(self, delivery: Delivery) -> Attempt:
        attempt = await super().deliver(delivery)
        if not self._hangs or delivery.subscription in self._hangs:
            await self.let.wait()
        return attempt


def broken() -> None:
    raise RuntimeError("a bug")


class Leaving(MemoryStorage):
    """Hands out one gist at a time; with the second something happens, and `release` finds it away."""

    happens: Callable[[], object]
    happened = False

    def claim(self, room: Room, lease: timedelta) -> Claim:
        if self._claims:
            self.happened = True
            self.happens()
        return replace(super().claim(replace(room, limit=min(room.limit, 1)), lease), more=True)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        raise Unavailable(f"away, with {len(deliveries)} to release")


class Faltering(MemoryStorage):
    """Is away the first times that it is asked to claim and to complete."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = {"claim": times, "complete": times}

    def claim(self, room: Room, lease: timedelta) -> Claim:
        self._falter("claim")
        return super().claim(room, lease)

    def complete(self, completions: Sequence[Completion], announcements: Sequence[Publication]) -> int:
        self._falter("complete")
        return super().complete(completions, announcements)

    def _falter(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] >= 0:
            raise Unavailable("away")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # the fakes have no events for it
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(started: Dispatcher) -> AsyncIterator[asyncio.Task[None]]:
    """Until the block ends, and then until it has finished."""
    task = asyncio.create_task(started.run())
    yield task
    started.stop()
    await asyncio.wait_for(task, 10)


def test_a_stop_finishes_what_was_started_and_leaves_the_rest() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(10), Slow()
        async with running(started := dispatcher(storage, courier, envelope=4)):
            await until(lambda: len(courier.sent) == 4)
            started.stop()
            courier.let.set()
        assert counts(storage) == {"delivered": 4, "pending": 6}
        assert not any(gist.leased for gist in gists(storage))

    asyncio.run(scenario())


def test_a_stop_cuts_off_at_the_deadline_and_leaves_that_to_the_lease() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(1), Slow()
        async with running(dispatcher(storage, courier, drain_timeout=0.0)):
            await until(lambda: len(courier.sent) == 1)
        assert counts(storage) == {"pending": 1}
        assert gists(storage)[0].leased is not None

    asyncio.run(scenario())


@pytest.mark.parametrize("breaks", [False, True])
def test_whatever_ends_it_what_was_started_is_recorded(breaks: bool) -> None:
    async def scenario() -> None:
        storage, courier = Leaving(), Slow()
        storage_with(2, storage)
        started = dispatcher(storage, courier)
        storage.happens = broken if breaks else started.stop
        task = asyncio.create_task(started.run())
        await until(lambda: storage.happened)
        courier.let.set()
        with pytest.raises(RuntimeError) if breaks else contextlib.nullcontext():
            await asyncio.wait_for(task, 5)
        assert counts(storage) == {"delivered": 1, "pending": 1}

    asyncio.run(scenario())


def test_each_gist_goes_out_once_through_a_small_envelope() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(50), MemoryCourier()
        async with running(dispatcher(storage, courier, envelope=7)):
            await until(lambda: counts(storage) == {"delivered": 50})
        assert len({delivery.gist for delivery in courier.sent}) == len(courier.sent) == 50

    asyncio.run(scenario())


def test_what_belongs_to_a_subscription_that_is_off_is_paused_unsent() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(3), MemoryCourier()
        (mine,) = storage.subscriptions(Filters(), Page())
        storage.save_subscription(replace(mine, active=False), "shop")
        async with running(dispatcher(storage, courier)):
            await until(lambda: counts(storage) == {"paused": 3})
        assert courier.sent == []

    asyncio.run(scenario())


def test_new_work_wakes_it_at_once_and_it_rests_meanwhile() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(0), MemoryCourier()
        async with running(started := dispatcher(storage, courier, idles=3600.0)):
            for number in range(3):
                publish(storage, number)
                started.wake()
                await until(lambda n=number: len(courier.sent) == n + 1)  # type: ignore[misc]

    asyncio.run(scenario())


def test_one_that_hangs_leaves_the_others_theirs() -> None:
    async def scenario() -> None:
        hanging, *others = (subscription(f"/{number}") for number in range(4))
        storage, courier = storage_with(40, None, hanging, *others), Slow(hanging.subscription)
        async with running(dispatcher(storage, courier, envelope=8)):
            await until(lambda: counts(storage).get("delivered") == 120)
            held = [delivery for delivery in courier.sent if delivery.subscription == hanging.subscription]
            assert 1 <= len(held) <= 8  # half of the places
            courier.let.set()
            await until(lambda: counts(storage) == {"delivered": 160})

    asyncio.run(scenario())


def test_a_lane_goes_on_as_soon_as_its_first_is_through() -> None:
    async def scenario() -> None:
        storage = storage_with(20, None, subscription(ordered=True))
        courier = MemoryCourier()
        async with running(dispatcher(storage, courier, idles=3600.0)):
            await until(lambda: counts(storage) == {"delivered": 20})
        events = [delivery.event for delivery in courier.sent]
        assert events == [gist.event for gist in sorted(gists(storage), key=lambda gist: gist.position or 0)]

    asyncio.run(scenario())


def test_it_insists_on_recording_while_the_storage_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.dispatcher.RETRY", 0.01)

    async def scenario() -> None:
        storage, courier = Faltering(times=3), MemoryCourier()
        storage_with(5, storage)
        async with running(dispatcher(storage, courier, idles=0.1)):
            await until(lambda: counts(storage) == {"delivered": 5})
        assert len(courier.sent) == 5

    asyncio.run(scenario())


def test_a_courier_s_bug_costs_one_delivery_and_not_the_loop() -> None:
    def answer(delivery: Delivery) -> int:
        if delivery.event == rules.uuid7(NOW, 0):
            raise RuntimeError("a bug")
        return 200

    async def scenario() -> None:
        storage, courier = storage_with(5), MemoryCourier(answer)
        async with running(dispatcher(storage, courier)):
            await until(lambda: counts(storage) == {"delivered": 4, "pending": 1})
        (left,) = gists(storage, status="pending")
        assert left.leased is not None  # due again when the lease ends

    asyncio.run(scenario())


def test_what_fails_for_good_is_announced_and_counted() -> None:
    async def scenario() -> None:
        storage = storage_with(2, None, subscription(max_retries=1))
        courier = MemoryCourier(lambda delivery: 200 if delivery.event == rules.uuid7(NOW, 0) else 500)
        started = dispatcher(storage, courier, idles=0.1)
        async with running(started):
            await until(lambda: counts(storage) == {"delivered": 1, "failed": 1})
            await until(lambda: len(storage.events(Filters(action=rules.FAILED_ACTION), (), Page())) == 1)
        started._minutes.store()
        (minute, *rest) = storage.minutes("shop", NOW - timedelta(minutes=1))
        total = [sum(getattr(each, name) for each in (minute, *rest)) for name in ("delivered", "retried", "failed")]
        assert total == [1, 1, 1]
        assert sum(sum(each.latency) for each in (minute, *rest)) == 1

    asyncio.run(scenario())


def test_one_that_is_gone_is_switched_off_and_what_it_has_to_get_waits() -> None:
    async def scenario() -> None:
        storage, courier = storage_with(30), MemoryCourier(lambda _: 410)
        async with running(dispatcher(storage, courier, envelope=1)):
            await until(lambda: counts(storage) == {"paused": 30})
        assert 1 <= len(courier.sent) < 30
        (mine,) = storage.subscriptions(Filters(), Page())
        assert not mine.active
        assert {gist.attempts for gist in gists(storage, status=Status.PAUSED)} == {0, 1}

    asyncio.run(scenario())
