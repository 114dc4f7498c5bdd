"""Group commit on both storages: who publishes together shares a commit, and answers for nobody else."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from app.commit import GroupCommit
from app.errors import AmeboError, Malformed, Unavailable
from app.model import Filters, Page, Publication, Published
from app.ports import Storage
from tests.contract.examples import publication, shop

Result = tuple[Published | None, ...]
PATIENT = 5.0  # seconds: every batch that is to be shared is full before


class Counting:
    """Commits, and keeps how many events each commit had; the first waits until it is let."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.batches: list[int] = []
        self.let = threading.Event()
        self.begun = threading.Event()

    def __call__(self, publications: Sequence[Publication]) -> Result:
        self.batches.append(len(publications))
        self.begun.set()
        assert self.let.wait(PATIENT)
        return self._storage.publish(publications)


class Together:
    """Publishes that are waiting while another commit is under way, so that they come into one batch."""

    def __init__(self, storage: Storage, most: int = 64) -> None:
        self.storage = storage
        self.counting = Counting(storage)
        self.commit = GroupCommit(self.counting, most, 0.0)
        self.results: dict[int, Result | BaseException] = {}
        self._threads: list[threading.Thread] = []

    def publish(self, publications: Sequence[Publication]) -> None:
        """From a thread of its own, which keeps the result, or the error, under its number."""
        number = len(self._threads)

        def work() -> None:
            try:
                self.results[number] = self.commit.publish(publications)
            except BaseException as error:  # noqa: BLE001  # it is what the test is about
                self.results[number] = error

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def first(self) -> None:
        """One that is being committed from now on, until `finish`."""
        self.publish([publication(self.storage)])
        assert self.counting.begun.wait(PATIENT)

    def queued(self, number: int) -> None:
        """Return when so many wait behind it."""
        while len(self.commit._waiting) < number:
            threading.Event().wait(0.001)

    def finish(self) -> list[Result | BaseException]:
        self.counting.let.set()
        for thread in self._threads:
            thread.join(PATIENT)
            assert not thread.is_alive(), "somebody was never answered"
        return [self.results[number] for number in range(len(self._threads))]


@pytest.fixture
def together(storage: Storage) -> Iterator[Together]:
    shop(storage)
    started = Together(storage)
    yield started
    started.counting.let.set()


def stored(storage: Storage) -> int:
    return len(storage.events(Filters(), (), Page(per_page=1000)))


def event_of(result: Result | BaseException) -> Published:
    assert isinstance(result, tuple), result
    (published,) = result
    assert published is not None
    return published


def test_who_waits_for_the_same_commit_shares_the_next(together: Together) -> None:
    together.first()
    for number in range(20):
        together.publish([publication(together.storage, f"k-{number}")])
    together.queued(20)
    results = [event_of(each) for each in together.finish()]
    assert together.counting.batches == [1, 20]
    assert [each.event.deduper for each in results] == [None, *(f"k-{number}" for number in range(20))]
    assert stored(together.storage) == 21


@pytest.mark.usefixtures("subscribed")
def test_a_batch_takes_no_more_than_it_may(storage: Storage) -> None:
    few = Together(storage, most=5)
    few.first()
    for _ in range(12):
        few.publish([publication(storage)])
    few.queued(12)
    few.publish([publication(storage) for _ in range(6)])  # more than a batch takes: one of its own, at once
    few.finish()
    assert sorted(few.counting.batches) == [1, 2, 5, 5, 6]
    assert stored(storage) == 19


def test_one_that_cannot_be_stored_does_not_spoil_the_others(together: Together) -> None:
    together.first()
    together.publish([publication(together.storage, "good")])
    together.publish([publication(together.storage, "\0")])  # no text in PostgreSQL
    together.publish([publication(together.storage, "also good"), publication(together.storage)])
    together.queued(3)
    first, good, poisoned, also_good = together.finish()
    assert event_of(first)
    assert event_of(good).event.deduper == "good"
    assert isinstance(also_good, tuple)
    assert all(also_good)
    if isinstance(poisoned, BaseException):  # in memory it is a key like any other
        assert isinstance(poisoned, Malformed)
    assert stored(together.storage) == (4 if isinstance(poisoned, BaseException) else 5)


@pytest.mark.parametrize("error", [Unavailable("away"), AmeboError("no"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_an_error_reaches_each_who_waits_and_the_next_is_served(
    together: Together, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_: object) -> Result:
        raise error

    with monkeypatch.context() as failing:
        together.first()
        failing.setattr(together.storage, "publish", fail)
        for _ in range(5):
            together.publish([publication(together.storage)])
        together.queued(5)
        assert together.finish() == [error] * 6
    assert event_of(together.commit.publish([publication(together.storage)]))


def test_the_same_key_in_one_commit_is_one_event(together: Together) -> None:
    together.first()
    for _ in range(4):
        together.publish([publication(together.storage, "k")])
    together.queued(4)
    _, *same = (event_of(each) for each in together.finish())
    assert sorted(each.duplicate for each in same) == [False, True, True, True]
    assert len({each.event.event for each in same}) == 1


@pytest.mark.usefixtures("subscribed")
def test_many_at_once_are_each_answered_with_their_own(storage: Storage, in_threads: Callable[..., None]) -> None:
    commit = GroupCommit(storage.publish, 16, 0.002)
    answered: list[bool] = []

    def publish(number: int) -> None:
        for each in range(10):
            key = f"k-{number}-{each}"
            (published,) = commit.publish([publication(storage, key)])
            answered.append(published is not None and published.event.deduper == key)

    in_threads(*[lambda number=number: publish(number) for number in range(16)])
    assert answered == [True] * 160
    assert stored(storage) == 160
