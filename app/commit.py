"""Group commit: publishes that come together share one transaction, and each is answered after it is committed."""

import time
from collections import deque
from collections.abc import Sequence
from threading import Lock

from app.errors import Malformed
from app.fibers import Signal, rest
from app.metrics import COMMIT_BATCH
from app.model import Publication, Published
from app.publishing import Commit

MEMORY = 16  # batches by which it is told whether somebody publishes alone
FEW = 4  # with as many nobody waits for more
Result = tuple[Published | None, ...]


class Waiting:
    """A request that waits: `told` is given when it is to commit for others, and when there is a result or an error."""

    def __init__(self, publications: Sequence[Publication]) -> None:
        self.publications = publications
        self.commits = False
        self.result: Result = ()
        self.error: BaseException | None = None
        self.told = Signal()


class GroupCommit:
    """Collects up to `most` events and stores them with one `commit`.

    Who comes while nobody commits does so for all who wait, and then leaves it to the first who came meanwhile. So
    while one batch is being committed the next comes together, and what the loop reads in one turn is one batch at
    least. Few wait for as many as one of the last had, `window` seconds at most: who publishes alone never waits, and
    many at once share a commit. A request with more events than `most` is a batch of its own.
    """

    def __init__(self, commit: Commit, most: int, window: float) -> None:
        self._commit = commit
        self._most = most
        self._window = window
        self._recent = deque([1], maxlen=MEMORY)
        self._waiting: deque[Waiting] = deque()
        self._is_committing = False
        self._lock = Lock()

    def publish(self, publications: Sequence[Publication]) -> Result:
        """As `commit`, whose errors it raises."""
        if len(publications) > self._most:
            COMMIT_BATCH.observe(len(publications))
            return self._commit(publications)
        waiting = Waiting(publications)
        if self._begins(waiting):
            rest()
            self._await_company()
            self._commit_for_all()
        waiting.told.wait()
        if waiting.commits:
            self._commit_for_all()
            waiting.told.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.result

    def _begins(self, waiting: Waiting) -> bool:
        """Join those who wait; whether it is for this one to commit, because nobody does."""
        with self._lock:
            self._waiting.append(waiting)
            begins, self._is_committing = not self._is_committing, True
        return begins

    def _await_company(self) -> None:
        """Wait for others where there were some lately."""
        enough, deadline = min(max(self._recent), FEW), time.monotonic() + self._window
        while len(self._waiting) < enough and (patience := deadline - time.monotonic()) > 0:
            rest(patience)

    def _commit_for_all(self) -> None:
        """The next is told first, so that its commit is under way while these are answered."""
        batch = self._collect()
        try:
            self._settle(batch)
        finally:
            self._hand_over()
            for waiting in batch:
                waiting.told.give()

    def _hand_over(self) -> None:
        with self._lock:
            self._is_committing = bool(self._waiting)
            if self._is_committing:
                self._waiting[0].commits = True
                self._waiting[0].told.give()

    def _collect(self) -> list[Waiting]:
        batch: list[Waiting] = []
        many = 0
        while self._waiting and (not batch or many + len(self._waiting[0].publications) <= self._most):
            batch.append(self._waiting.popleft())
            many += len(batch[-1].publications)
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

    def _settle_each(self, batch: list[Waiting]) -> None:
        """One of them cannot be stored, and the others shall not suffer for it."""
        for waiting in batch:
            try:
                waiting.result = self._commit(waiting.publications)
            except BaseException as error:  # noqa: BLE001  # as above
                waiting.error = error
