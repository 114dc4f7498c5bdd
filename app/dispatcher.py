"""The dispatcher: claim gists under a lease, send them with nothing locked, complete them in batches."""

import asyncio
import contextlib
import logging
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app import systemd
from app.broker import Broker
from app.delivery.guard import Guard
from app.delivery.http import HttpCourier
from app.errors import AmeboError, Unavailable
from app.health import Health
from app.metrics import CLAIM_BATCH, DELIVERIES, DELIVERY_SECONDS, PUBLISH_TO_DELIVERY
from app.minutes import Minutes
from app.model import Attempt, Claim, Completion, Delivery, Room, Status
from app.ports import Courier, Storage
from app.settings import Settings
from app.storage.wakeup import listen

RETRY = 1.0
SOON = 1.0  # after some work, look again for what gets due, where nobody says that there is more
GATHER = 0.02  # between claims, and between recordings: several gists come together, and what others are taking is gone
ENOUGH = 64  # deliveries done are worth a statement without waiting for more
RECORDING = 3.0  # seconds of the drain's time that are kept for recording
EXPIRED_AT_ONCE = 10_000
log = logging.getLogger("amebo.dispatcher")
Done = tuple[Delivery, Attempt | None]


class Dispatcher:
    """One delivery loop. Everything that it claims it starts at once, so that no lease runs out in a queue.

    It has so many places for deliveries under way; an endpoint may hold as many as stay free, so that one that hangs
    leaves half of them to the others, and two a third (the claim sees to it).
    """

    def __init__(self, broker: Broker, courier: Courier, minutes: Minutes, settings: Settings) -> None:
        self._broker = broker
        self._courier = courier
        self._minutes = minutes
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease)
        self._awake = asyncio.Event()
        self._stopping = False
        self._left_some = False  # the last claim left something behind, for want of places
        self._sending: set[asyncio.Task[None]] = set()
        self._busy: Counter[UUID] = Counter()
        self._enough = asyncio.Event()
        self._done: asyncio.Queue[Done] = asyncio.Queue()

    def wake(self) -> None:
        """There is new work, or a place for more."""
        self._awake.set()

    def stop(self) -> None:
        """Claim no more; `run` returns when what was started is finished and recorded."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        recorder = asyncio.create_task(self._record())
        try:
            await self._deliver()
        finally:  # whatever ended it, what was started is finished and recorded
            await self._finish()
            recorder.cancel()

    async def _deliver(self) -> None:
        while not self._stopping:
            self._awake.clear()
            room = self._room()
            claim = await self._claim(room) if room.limit else Claim(more=True)
            self._left_some = claim.more or any(held >= room.free for held in room.busy.values())
            if self._stopping:
                await self._give_back(claim.deliveries)
                break
            self._start(claim.deliveries)
            await self._rest(room, claim)

    def _room(self) -> Room:
        free = self._settings.places_at_once - len(self._sending)
        return Room(min(self._settings.envelope, -(-free // 2)), free, dict(self._busy))  # some always stay free

    async def _claim(self, room: Room) -> Claim:
        try:
            claim = await asyncio.to_thread(self._broker.claim, room, self._lease)
        except Unavailable as error:
            log.warning("cannot claim: %s", error)
            return Claim()
        CLAIM_BATCH.observe(len(claim.deliveries))
        return claim

    def _start(self, claimed: tuple[Delivery, ...]) -> None:
        for delivery in claimed:
            self._busy[delivery.subscription] += 1
            task = asyncio.create_task(self._send(delivery))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    async def _send(self, delivery: Delivery) -> None:
        try:
            attempt = await self._courier.deliver(delivery) if delivery.active else None
        finally:
            self._busy[delivery.subscription] -= 1
            if not self._busy[delivery.subscription]:
                del self._busy[delivery.subscription]
        self._done.put_nowait((delivery, attempt))
        if self._done.qsize() >= ENOUGH:
            self._enough.set()

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery broke off; its gist is due again when the lease ends", exc_info=error)

    async def _rest(self, room: Room, claim: Claim) -> None:
        """Where a claim left something behind there is more; else wait for work, or for a gist's time.

        And a moment longer: what another dispatcher is taking is due until it has committed, and asking for it again
        and again meanwhile would only slow that commit down. What waited for a place needs no such moment: it is woken
        by a recording, and recordings come no oftener.
        """
        many = len(claim.deliveries)
        if not (claim.more and room.limit and many >= self._settings.rest_when):
            seconds = min(SOON, self._settings.idles) if many else await self._until_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), seconds)
        if not self._left_some:
            await asyncio.sleep(GATHER)

    async def _until_due(self) -> float:
        try:
            due = await asyncio.to_thread(self._broker.next_due)
        except Unavailable:
            return RETRY
        return self._settings.idles if due is None else min(self._settings.idles, max(due, 0.0))

    async def _record(self) -> None:
        """Complete what is done, as many as come together in a moment or while the last batch is written."""
        while True:
            done = [await self._done.get()]
            if len(self._sending) > self._done.qsize():  # others will be done soon
                await self._gather()
            while not self._done.empty():
                done.append(self._done.get_nowait())
            try:
                await self._complete(tuple(done))
            except Exception:  # whatever it is must not end all recording
                log.exception("cannot record %d deliveries; they are due again when their lease ends", len(done))
            for _ in done:
                self._done.task_done()

    async def _gather(self) -> None:
        self._enough.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), GATHER)

    async def _complete(self, done: tuple[Done, ...]) -> None:
        """Insist while the database is away: what was delivered and not recorded would be delivered again."""
        while True:
            try:
                completions = await asyncio.to_thread(self._broker.complete, done)
                break
            except Unavailable as error:
                log.warning("cannot record %d deliveries yet: %s", len(done), error)
                await asyncio.sleep(RETRY)
        for completion in completions:
            self._count(completion)
        self._look_again(completions)

    def _look_again(self, completions: tuple[Completion, ...]) -> None:
        """When a retry is due; and at once for what follows in a lane, or waited for a place."""
        for delay in {round(each.delay, 1) for each in completions if each.status is Status.RETRYING}:
            asyncio.get_running_loop().call_later(delay, self.wake)
        if self._left_some or any(each.delivery.in_lane for each in completions):
            self.wake()

    def _count(self, completion: Completion) -> None:
        delivery, attempt = completion.delivery, completion.attempt
        DELIVERIES.labels(str(completion.status)).inc()
        latency = None
        if attempt is not None:
            DELIVERY_SECONDS.observe(attempt.ms / 1000)
            if attempt.succeeded:
                latency = max((datetime.now(UTC) - delivery.wanted).total_seconds(), 0.0)
                PUBLISH_TO_DELIVERY.observe(latency)
        self._minutes.delivered(delivery.application, completion.status, latency)

    async def _give_back(self, claimed: tuple[Delivery, ...]) -> None:
        if not claimed:
            return
        try:
            await asyncio.to_thread(self._broker.release, claimed)
        except Unavailable as error:
            log.warning(
                "cannot give back %d deliveries; they are due again when their lease ends: %s", len(claimed), error
            )

    async def _finish(self) -> None:
        """What is still under way at the deadline is cut off, and is due again when its lease ends."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=max(self._settings.drain_timeout - RECORDING, 0.0))
        for task in self._sending:
            task.cancel()
        try:
            await asyncio.wait_for(self._done.join(), RECORDING)
        except TimeoutError:
            log.warning("the database is away; some deliveries are not recorded and will be repeated")
        log.info("stopped, %d deliveries cut off", len(self._sending))


async def serve(broker: Broker, storage: Storage, settings: Settings, health: Health) -> None:
    """Deliver until SIGTERM, finish, and return."""
    courier = HttpCourier(Guard(settings.allow_private_handlers), settings.delivery_timeout)
    minutes = Minutes(storage)
    dispatcher = Dispatcher(broker, courier, minutes, settings)

    def stop() -> None:
        health.draining = True
        systemd.notify("STOPPING=1")
        dispatcher.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    listener = asyncio.create_task(listen(settings.dsn, dispatcher.wake))
    upkeep = asyncio.create_task(_keep_up(storage, minutes, timedelta(days=settings.keys_retention)))
    minutes.start()
    systemd.notify("READY=1")
    await dispatcher.run()
    listener.cancel()
    upkeep.cancel()
    minutes.stop()
    await courier.close()


async def _keep_up(storage: Storage, minutes: Minutes, retention: timedelta) -> None:
    """Once a minute: forget what has had its time, and note how much waits. Several dispatchers may do it at once."""
    while True:
        try:
            while await asyncio.to_thread(storage.expire, retention, EXPIRED_AT_ONCE) == EXPIRED_AT_ONCE:
                await asyncio.sleep(0)
            backlog = await asyncio.to_thread(storage.backlog)
            minutes.level(backlog.due, backlog.oldest_seconds)
        except AmeboError as error:
            log.warning("upkeep is put off: %s", error)
        await asyncio.sleep(60)
