"""The dispatcher: claim gists under a lease, send them with nothing locked, complete them in batches."""

import asyncio
import contextlib
import logging
import signal
from datetime import timedelta

from app import systemd
from app.broker import Broker
from app.delivery.guard import Guard
from app.delivery.http import HttpCourier
from app.errors import Unavailable
from app.health import Health
from app.metrics import DELIVERIES
from app.model import Attempt, Delivery, Status
from app.ports import Courier
from app.settings import Settings
from app.storage.wakeup import listen

RETRY = 1.0
GATHER = 0.02  # between claims that are not full: several gists come together, and what others are taking is gone
RECORDING = 3.0  # seconds of the drain's time that are kept for recording
log = logging.getLogger("amebo.dispatcher")
Done = tuple[Delivery, Attempt | None]


class Dispatcher:
    """One delivery loop. Everything that it claims it starts at once, so that no lease runs out in a queue."""

    def __init__(self, broker: Broker, courier: Courier, settings: Settings) -> None:
        self._broker = broker
        self._courier = courier
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease)
        self._awake = asyncio.Event()
        self._stopping = False
        self._sending: set[asyncio.Task[None]] = set()
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
            places = self._settings.envelope - len(self._sending)
            claimed = await self._claim(places) if places else ()
            if self._stopping:
                await self._give_back(claimed)
                break
            self._start(claimed)
            await self._rest(places, len(claimed))

    async def _claim(self, places: int) -> tuple[Delivery, ...]:
        try:
            return await asyncio.to_thread(self._broker.claim, places, self._lease)
        except Unavailable as error:
            log.warning("cannot claim: %s", error)
            return ()

    def _start(self, claimed: tuple[Delivery, ...]) -> None:
        for delivery in claimed:
            task = asyncio.create_task(self._send(delivery))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    async def _send(self, delivery: Delivery) -> None:
        attempt = await self._courier.deliver(delivery) if delivery.active else None
        self._done.put_nowait((delivery, attempt))

    def _sent(self, task: asyncio.Task[None]) -> None:
        if len(self._sending) >= self._settings.envelope:
            self.wake()  # the loop waits for a place
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery broke off; its gist is due again when the lease ends", exc_info=error)

    async def _rest(self, places: int, claimed: int) -> None:
        """After a claim that was full there is more; else wait for work, a place, or a gist's time.

        And always a moment longer: what another dispatcher is taking is due until it has committed, and asking
        for it again and again meanwhile would only slow that commit down.
        """
        if claimed and claimed == places and claimed >= self._settings.rest_when:
            return
        seconds = await self._until_due() if places else self._settings.idles
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)
        await asyncio.sleep(GATHER)

    async def _until_due(self) -> float:
        try:
            due = await asyncio.to_thread(self._broker.next_due)
        except Unavailable:
            return RETRY
        return self._settings.idles if due is None else min(self._settings.idles, max(due, 0.0))

    async def _record(self) -> None:
        """Complete what is done, as many as came together while the last batch was written."""
        while True:
            done = [await self._done.get()]
            while not self._done.empty():
                done.append(self._done.get_nowait())
            try:
                await self._complete(tuple(done))
            except Exception:  # whatever it is must not end all recording
                log.exception("cannot record %d deliveries; they are due again when their lease ends", len(done))
            for _ in done:
                self._done.task_done()

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
            DELIVERIES.labels(str(completion.status)).inc()
        if any(completion.status is Status.RETRYING for completion in completions):
            self.wake()  # the next time when something is due has changed

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


async def serve(broker: Broker, settings: Settings, health: Health) -> None:
    """Deliver until SIGTERM, finish, and return."""
    courier = HttpCourier(Guard(settings.allow_private_handlers))
    dispatcher = Dispatcher(broker, courier, settings)

    def stop() -> None:
        health.draining = True
        systemd.notify("STOPPING=1")
        dispatcher.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    listener = asyncio.create_task(listen(settings.dsn, dispatcher.wake))
    systemd.notify("READY=1")
    await dispatcher.run()
    listener.cancel()
    await courier.close()
