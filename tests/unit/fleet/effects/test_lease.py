"""The fleet's lock, with hosts that are folders and the real keeper on each of them."""

import json
import multiprocessing
import random
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from fleet.effects import keepers, lease
from fleet.effects.lease import Claim, LeaseHeld, LeaseLost, Timing
from fleet.errors import FleetError
from tests.unit.fleet.effects.hosts import Hosts, until

ROOT = Path(__file__).parents[4]
THREE = ("app-1", "app-2", "lb-1")
ROUNDS = 10
ONCE = Timing(tries=1)
BRIEF = Timing(ttl=2, beat=0.5, tries=1)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def claim(who: str) -> Claim:
    return Claim(who, "rolling-update", "to 1.4.0", "a fix", "2026-03-01 10:00:00 UTC")


def votes(hosts: Hosts, names: tuple[str, ...] = THREE) -> list[str]:
    """Who has each host's vote."""
    held = [hosts(name, "show", {})["held"] for name in names]
    return [lease["who"] if lease else "" for lease in held]


def ends(hosts: Hosts, name: str) -> float:
    """When the host gives its vote away, by its own clock, which is this machine's."""
    return float(json.loads(hosts.file(name, "lease.json").read_text())["lease"]["until"])


def vote_of(hosts: Hosts, name: str, who: str, ttl: float = 30) -> None:
    said = {"verb": "x", "what": "x", "why": "x", "since": "x", "instead_of": ""}
    assert hosts(name, "grant", {**said, "id": who, "who": who, "ttl": ttl})["granted"]


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (50, 26)])
def test_two_majorities_share_a_host(voters: int, needed: int) -> None:
    assert lease.majority(voters) == needed
    assert 2 * needed > voters


def test_who_comes_second_is_told_who_has_it_and_what_to_do(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1")) as held:
        with pytest.raises(LeaseHeld) as told:
            lease.acquire(hosts, THREE, claim("bob@desk 2"))
        held.check()
    for part in (
        "ana@desk 1 has been changing this fleet since 2026-03-01 10:00:00 UTC",
        "rolling-update: to 1.4.0",
        "because: a fix",
        "Wait until it ends",
        "./ops.py lock break --reason",
    ):
        assert part in str(told.value)


def test_what_was_given_back_can_be_had_at_once(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1")):
        assert votes(hosts) == ["ana@desk 1"] * 3
    assert votes(hosts) == ["", "", ""]
    with lease.acquire(hosts, THREE, claim("bob@desk 2")):
        assert votes(hosts) == ["bob@desk 2"] * 3


def test_it_is_given_back_whatever_happens_inside(hosts: Hosts) -> None:
    with pytest.raises(KeyboardInterrupt), lease.acquire(hosts, THREE, claim("ana@desk 1")):
        raise KeyboardInterrupt
    assert votes(hosts) == ["", "", ""]


def test_who_is_interrupted_while_asking_gives_back_what_it_got(hosts: Hosts) -> None:
    def ask(host: str, verb: str, request: Mapping[str, Any]) -> keepers.Json:
        if (host, verb) == ("app-2", "grant"):
            raise KeyboardInterrupt
        return hosts(host, verb, request)

    with pytest.raises(KeyboardInterrupt):
        lease.acquire(ask, THREE, claim("ana@desk 1"))
    assert votes(hosts) == ["", "", ""]
    assert ("lb-1", "grant") in hosts.asked


def test_a_minority_of_hosts_may_be_away(hosts: Hosts) -> None:
    hosts.away = {"lb-1"}
    with lease.acquire(hosts, THREE, claim("ana@desk 1")):
        hosts.away = {"app-1"}
        with pytest.raises(LeaseHeld, match=r"ana@desk 1 has 1 .*no answer from app-1"):
            lease.acquire(hosts, THREE, claim("bob@desk 2"), ONCE)


def test_too_few_hosts_are_an_error_that_says_why_and_they_keep_nothing(hosts: Hosts) -> None:
    hosts.away = {"lb-1", "app-2"}
    with pytest.raises(FleetError, match=r"1 of 3 hosts answer and 2 have to: app-2 does not answer; lb-1 does not"):
        lease.acquire(hosts, THREE, claim("ana@desk 1"))
    hosts.away = set()
    assert votes(hosts) == ["", "", ""]


def test_who_got_some_votes_gives_them_back_and_tries_again(hosts: Hosts) -> None:
    """Of four, two are another's whose try ends meanwhile: here when the first ones are given back to us."""
    four = (*THREE, "lb-2")
    vote_of(hosts, "lb-1", "bob@desk 2")
    vote_of(hosts, "lb-2", "bob@desk 2")
    seen: list[list[str]] = []

    class Chance(random.Random):
        """The moment between two tries."""

        def uniform(self, a: float, b: float) -> float:
            seen.append(votes(hosts, four))
            for name in ("lb-1", "lb-2"):
                hosts(name, "release", {"id": "bob@desk 2"})
            assert (a, b) == (0, lease.TIMING.longest_pause)
            return 0

    with lease.acquire(hosts, four, claim("ana@desk 1"), chance=Chance()):
        assert seen == [["", "", "bob@desk 2", "bob@desk 2"]]


def test_two_who_split_the_votes_for_ever_give_up_with_a_sentence(hosts: Hosts) -> None:
    four = (*THREE, "lb-2")
    vote_of(hosts, "lb-1", "bob@desk 2")
    vote_of(hosts, "lb-2", "bob@desk 2")
    with pytest.raises(LeaseHeld, match=r"no majority of the 4 hosts .*bob@desk 2 has 2 .*Try again in a moment"):
        lease.acquire(hosts, four, claim("ana@desk 1"), Timing(tries=2, longest_pause=0.01))
    assert votes(hosts, four) == ["", "", "bob@desk 2", "bob@desk 2"]


def test_it_is_renewed_for_as_long_as_it_is_held(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1"), BRIEF) as held:
        first = {host: ends(hosts, host) for host in THREE}
        until(lambda: all(ends(hosts, host) > first[host] + BRIEF.ttl for host in THREE))
        held.check()
        with pytest.raises(LeaseHeld):
            lease.acquire(hosts, THREE, claim("bob@desk 2"), ONCE)


def test_a_host_that_was_away_gives_its_vote_again(hosts: Hosts) -> None:
    hosts.away = {"lb-1"}
    with lease.acquire(hosts, THREE, claim("ana@desk 1"), BRIEF) as held:
        hosts.away = set()
        until(lambda: votes(hosts) == ["ana@desk 1"] * 3)
        hosts.away = {"app-1"}
        without_it = lease.now() + BRIEF.ttl
        until(lambda: held._ends_at() > without_it)
        held.check()


def test_who_cannot_renew_it_notices_before_the_hosts_give_it_away(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1"), BRIEF) as held:
        hosts.away = {"app-1", "app-2"}
        assert held.lost.wait(20)
        assert held._ends_at() < min(ends(hosts, host) for host in THREE)
        with pytest.raises(LeaseLost, match=r"2 of 3 hosts have to renew it, and did not in time"):
            held.check()


def test_what_was_lost_stays_lost(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1"), BRIEF) as held:
        hosts.away = set(THREE)
        assert held.lost.wait(20)
        hosts.away = set()
        until(lambda: votes(hosts) == ["ana@desk 1"] * 3)
        with pytest.raises(LeaseLost):
            held.check()


def test_without_any_thread_running_it_is_lost_by_the_clock_alone(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that slept: nothing ran, but the time went by."""
    with lease.acquire(hosts, THREE, claim("ana@desk 1")) as held:
        held.check()
        woken = lease.now() + lease.TIMING.ttl
        monkeypatch.setattr(lease, "now", lambda: woken)
        with pytest.raises(LeaseLost):
            held.check()


def test_a_lease_that_was_broken_is_lost_at_the_next_renewal(hosts: Hosts) -> None:
    with lease.acquire(hosts, THREE, claim("ana@desk 1"), BRIEF) as held:
        broken = lease.acquire(hosts, THREE, claim("bob@desk 2"), instead_of=held.id)
        assert held.lost.wait(20)
        with pytest.raises(LeaseLost, match=r"broken by bob@desk 2: a fix"):
            held.check()
        assert votes(hosts) == ["bob@desk 2"] * 3
        broken.release()
    assert votes(hosts) == ["", "", ""]


def test_breaking_one_lease_breaks_no_other(hosts: Hosts) -> None:
    with (
        lease.acquire(hosts, THREE, claim("ana@desk 1")) as held,
        pytest.raises(LeaseHeld, match="ana@desk 1"),
    ):
        lease.acquire(hosts, THREE, claim("bob@desk 2"), instead_of="another")
    assert not held.lost.is_set()


def test_a_renewal_that_arrives_after_the_end_takes_nothing(hosts: Hosts) -> None:
    late: list[Mapping[str, Any]] = []

    def ask(host: str, verb: str, request: Mapping[str, Any]) -> keepers.Json:
        late.extend([request] if verb == "grant" and host == "lb-1" else [])
        return hosts(host, verb, request)

    lease.acquire(ask, THREE, claim("ana@desk 1")).release()
    assert hosts("lb-1", "grant", late[0]) == {"granted": False, "ended": "it was given back"}


HOLDER = {
    "nobody": ({}, set(), None),
    "a majority": ({"app-1": "ana", "lb-1": "ana"}, set(), "ana"),
    "a try that will be given back": ({"app-1": "ana"}, set(), None),
    "perhaps a majority": ({"app-1": "ana"}, {"lb-1"}, "ana"),
}


@pytest.mark.parametrize("case", HOLDER)
def test_shows_who_has_or_may_have_it(case: str, hosts: Hosts) -> None:
    given, away, who = HOLDER[case]
    for host, name in given.items():
        vote_of(hosts, host, name)
    hosts.away = away
    found = lease.holder(hosts, THREE)
    assert (found.who if found else None) == who


def test_with_too_few_answers_nobody_can_say_who_has_it(hosts: Hosts) -> None:
    hosts.away = {"app-1", "lb-1"}
    with pytest.raises(FleetError, match=r"cannot tell who has the lock: 1 of 3 hosts answer"):
        lease.holder(hosts, THREE)


OPERATOR = """
import sys
from pathlib import Path
from fleet.effects import lease
from tests.unit.fleet.effects.hosts import Hosts
timing = lease.Timing(ttl=2, beat=0.5)
claim = lease.Claim("ana@desk 1", "x", "x", "x", "x")
held = lease.acquire(Hosts(Path(sys.argv[1])), sys.argv[2].split(","), claim, timing)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_an_operator_that_died_ends_by_itself(hosts: Hosts) -> None:
    argv = [sys.executable, "-c", OPERATOR, str(hosts.root), ",".join(THREE)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as operator:
        assert operator.stdout
        assert operator.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeld):
            lease.acquire(hosts, THREE, claim("bob@desk 2"), ONCE)
        operator.kill()

    def is_free() -> bool:
        try:
            lease.acquire(hosts, THREE, claim("bob@desk 2"), ONCE).release()
        except LeaseHeld:
            return False
        return True

    until(is_free)


def compete(root: Path, voters: tuple[str, ...], who: str, line: Barrier, results: Any) -> None:
    """Round after round: start together, and hold what was got until everybody has an answer."""
    for number in range(ROUNDS):
        line.wait(60)
        try:
            held = lease.acquire(Hosts(root), voters, claim(who), Timing(tries=4, longest_pause=0.3))
            results.put((number, who, ""))
        except LeaseHeld as error:
            held = None
            results.put((number, who, str(error)))
        line.wait(60)
        if held:
            held.check()
            held.release()


@pytest.mark.parametrize("voters", [THREE, (*THREE, "lb-2")], ids=["three hosts", "four hosts"])
def test_of_two_operators_that_start_together_never_both_get_it(voters: tuple[str, ...], tmp_path: Path) -> None:
    processes = multiprocessing.get_context("fork")
    line, results = processes.Barrier(2), processes.Queue()
    names = ("ana@desk 1", "bob@desk 2")
    started = [processes.Process(target=compete, args=(tmp_path, voters, who, line, results)) for who in names]
    for process in started:
        process.start()
    found = [results.get(timeout=60) for _ in range(ROUNDS * len(names))]
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0]
    held = [number for number, _, told in found if not told]
    assert held, "nobody ever had it"
    assert len(held) == len(set(held)), f"both had it at the same moment in one of these rounds: {held}"
    assert [told for _, who, told in found if who in told] == [], "nobody is told of itself"
