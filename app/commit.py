"""Group commit: publishes that come together share one transaction, and each is answered after it is committed."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from app.errors import Malformed
from app.fibers import Signal, later
from app.metrics import COMMIT_BATCH
from app.model import Publication, Published
from app.publishing import Commit

MEMORY = 16  # batches by which it is told whether somebody publishes alone
FEW = 4  # with as many nobody waits for more
Result = tuple[Published | None, ...]


class Waiting:
    """A request that waits for the commit; `done` is given when there is a result or an error."""

    def __init__(self, publications: Sequence[Publication]) -> None:
        self.publications = publications
        self.result: Result = ()
        self.error: BaseException | None = None
        self.done = Signal()


class GroupCommit:
    """Collects up to `most` events and stores them with one `commit`.

    While one batch is being committed the next comes together, and what the loop reads in one turn is one batch at
    least. Few wait for as many as one of the last had, `window` seconds at most: who publishes alone never waits, and
    many at once share a commit. A request with more events than `most` is a batch of its own.
    """

    def __init__(self, commit: Commit, most: int, window: float) -> None:
        self._commit = commit
        self._most = most
        self._window = window
        self._recent = deque([1], maxlen=MEMORY)
        self._waiting: deque[Waiting] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()  # True when there may be work, False to end
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what is queued, and end."""
        self._bell.put(False)
        self._thread.join(timeout=10)

    def publish(self, publications: Sequence[Publication]) -> Result:
        """As `commit`, whose errors it raises."""
        if len(publications) > self._most:
            COMMIT_BATCH.observe(len(publications))
            return self._commit(publications)
        waiting = Waiting(publications)
        self._waiting.append(waiting)
        later(self._ring)
        waiting.done.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.result

    def _ring(self) -> None:
        self._bell.put(True)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._bell.get() and self._have_company()
            while batch := self._collect():
                self._settle(batch)

    def _have_company(self) -> bool:
        """Wait for others where there were some lately; False to end."""
        enough, deadline = min(max(self._recent), FEW), time.monotonic() + self._window
        while 0 < len(self._waiting) < enough and (patience := deadline - time.monotonic()) > 0:
            try:
                if not self._bell.get(timeout=patience):
                    return False
            except Empty:
                break
        return True

    def _collect(self) -> list[Waiting]:
        batch: list[Waiting] = []
        many = 0
        while self._waiting and (not batch or many + len(self._waiting[0].publications) <= self._most):
            batch.append(self._waiting.popleft())
            many += len(batch[-1].publications)
        if batch:
            self._recent.append(many)
        return batch

    def _settle(self, batch: list[Waiting]) -> None:
        together = [publication for waiting in batch for publication in waiting.publications]
        COMMIT_BATCH.observe(len(together))
        try:
            results = iter(self._commit(together))
            for waiting in batch:
                waiting.result = tuple(next(results) for _ in waiting.publications)
        except Malformed:
            self._settle_each(batch)
        except BaseException as error:  # noqa: BLE001  # whatever it is, somebody waits for it
            for waiting in batch:
                waiting.error = error
        for waiting in batch:
            waiting.done.give()

    def _settle_each(self, batch: list[Waiting]) -> None:
        """One of them cannot be stored, and the others shall not suffer for it."""
        for waiting in batch:
            try:
                waiting.result = self._commit(waiting.publications)
            except BaseException as error:  # noqa: BLE001  # as above
                waiting.error = error
