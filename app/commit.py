"""Group commit: publishes that come together share one transaction, and each is answered after it is committed."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from app.errors import Malformed
from app.metrics import COMMIT_BATCH
from app.model import Publication, Published
from app.publishing import Commit

MEMORY = 16  # batches by which it is told whether somebody publishes alone
Result = tuple[Published | None, ...]


class Waiting:
    """A request that waits for the commit; `done` is held until there is a result or an error."""

    def __init__(self, publications: Sequence[Publication]) -> None:
        self.publications = publications
        self.result: Result = ()
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class GroupCommit:
    """Collects up to `most` events and stores them with one `commit`.

    While one batch is being committed the next comes together. It waits for as many as one of the last had, `window`
    seconds at most: who publishes alone never waits, and many at once share a commit. A request with more events than
    `most` is a batch of its own.
    """

    def __init__(self, commit: Commit, most: int, window: float) -> None:
        self._commit = commit
        self._most = most
        self._window = window
        self._recent = deque([1], maxlen=MEMORY)
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what is queued, and end."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def publish(self, publications: Sequence[Publication]) -> Result:
        """As `commit`, whose errors it raises."""
        if len(publications) > self._most:
            COMMIT_BATCH.observe(len(publications))
            return self._commit(publications)
        waiting = Waiting(publications)
        self._queue.put(waiting)
        waiting.done.acquire()
        if waiting.error is not None:
            raise waiting.error
        return waiting.result

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            batch = [] if first is None else self._collect(first)
            ended = first is None or batch[-1] is None
            self._settle([each for each in batch if each is not None])

    def _collect(self, first: Waiting) -> list[Waiting | None]:
        batch: list[Waiting | None] = [first]
        expected = max(self._recent)
        many, deadline = len(first.publications), time.monotonic() + self._window
        while many < self._most:
            patience = deadline - time.monotonic() if many < expected else 0.0
            try:
                batch.append(self._queue.get(patience > 0, patience))
            except Empty:
                break
            following = batch[-1]
            if following is None:
                break
            many += len(following.publications)
        self._recent.append(many)
        return batch

    def _settle(self, batch: list[Waiting]) -> None:
        if not batch:
            return
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
            waiting.done.release()

    def _settle_each(self, batch: list[Waiting]) -> None:
        """One of them cannot be stored, and the others shall not suffer for it."""
        for waiting in batch:
            try:
                waiting.result = self._commit(waiting.publications)
            except BaseException as error:  # noqa: BLE001  # as above
                waiting.error = error
