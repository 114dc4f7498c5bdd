"""A host's vote and its copy of the journal: the rules as values, and the program as it runs on a host."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fleet.effects import keeper, keepers
from fleet.errors import HostUnreachable
from tests.unit.fleet.effects.hosts import Hosts

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # Debian's faketime
BOOT, NEXT_BOOT = "boot-1", "boot-2"
EMPTY: keepers.Json = {"lease": None, "ended": {}}


def claim(lease_id: str, *, ttl: float = 30, instead_of: str = "") -> dict[str, Any]:
    said = {"who": f"{lease_id}@desk 1", "verb": "rolling-update", "what": "to 1.4.0", "why": "a fix", "since": "today"}
    return {**said, "id": lease_id, "ttl": ttl, "instead_of": instead_of}


def state(*claims: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    """After these claims at these moments, each of them granted."""
    found: dict[str, Any] = EMPTY
    for now, claimed in claims:
        found, answer = keeper.granted(found, claimed, now, BOOT)
        assert answer == {"granted": True}
    return found


def entry(number: int, previous: str, **changed: object) -> dict[str, Any]:
    made = {
        "number": number,
        "time": "2026-03-01T10:00:00.000Z",
        "change": "c1",
        "who": "ana@desk 1",
        "verb": "rolling-update",
        "what": f"step {number}",
        "why": "a fix",
        "result": "done",
        "previous": previous,
    } | changed
    return {**made, "hash": keeper.digest(made)}


def lines(count: int, start: int = 1, previous: str = keeper.START, **changed: object) -> list[str]:
    """A chain."""
    made = []
    for number in range(start, start + count):
        written = entry(number, previous, **changed)
        made.append(keeper.canonical(written))
        previous = written["hash"]
    return made


def head(chain: list[str]) -> dict[str, Any]:
    return {"number": len(chain), "hash": json.loads(chain[-1])["hash"] if chain else keeper.START}


def added(to: list[str], more: list[str], lease: str = "ana") -> dict[str, Any]:
    return {"after": head(to), "lines": more, "lease": lease}


VOTES = {
    "a free vote is given": (EMPTY, claim("ana"), 0, BOOT, True),
    "nobody else gets it": (state((0, claim("ana"))), claim("bob"), 29.9, BOOT, False),
    "its holder renews it": (state((0, claim("ana"))), claim("ana"), 29.9, BOOT, True),
    "it ends after its ttl": (state((0, claim("ana"))), claim("bob"), 30, BOOT, True),
    "a renewal lasts a whole ttl": (state((0, claim("ana")), (20, claim("ana"))), claim("bob"), 49.9, BOOT, False),
    "its holder gets it back after it ended": (state((0, claim("ana"))), claim("ana"), 99, BOOT, True),
    "a reboot does not free it at once": (state((9000, claim("ana"))), claim("bob"), 29.9, NEXT_BOOT, False),
    "a ttl after a reboot it is free": (state((9000, claim("ana"))), claim("bob"), 30, NEXT_BOOT, True),
    "what was given back is free": (keeper.released(state((0, claim("ana"))), "ana"), claim("bob"), 1, BOOT, True),
    "a renewal that comes after the end is refused": (keeper.released(EMPTY, "ana"), claim("ana"), 1, BOOT, False),
    "another's end changes nothing": (keeper.released(state((0, claim("ana"))), "eve"), claim("bob"), 1, BOOT, False),
    "breaking takes it from who is named": (state((0, claim("ana"))), claim("bob", instead_of="ana"), 1, BOOT, True),
    "breaking takes it from nobody else": (state((0, claim("eve"))), claim("bob", instead_of="ana"), 1, BOOT, False),
    "what was broken is never granted again": (
        keeper.released(state((0, claim("ana")), (1, claim("bob", instead_of="ana"))), "bob"),
        claim("ana"),
        2,
        BOOT,
        False,
    ),
    "what was broken while the host was away is not granted either": (
        keeper.released(state((1, claim("bob", instead_of="ana"))), "bob"),
        claim("ana"),
        2,
        BOOT,
        False,
    ),
}


@pytest.mark.parametrize("case", VOTES)
def test_a_vote_is_one_leases_at_a_time(case: str) -> None:
    before, claimed, now, boot, is_granted = VOTES[case]
    after, answer = keeper.granted(before, claimed, now, boot)
    assert answer["granted"] is is_granted
    held = keeper.holder(after, now, boot)
    assert is_granted == (held is not None and held["id"] == claimed["id"])


def test_who_breaks_a_lease_is_told_to_its_holder() -> None:
    broken = state((0, claim("ana")), (1, claim("bob", instead_of="ana")))
    assert keeper.granted(broken, claim("ana"), 2, BOOT)[1]["ended"] == "broken by bob@desk 1: a fix"


def test_only_so_many_ends_are_remembered() -> None:
    found: dict[str, Any] = EMPTY
    for number in range(keeper.ENDED_KEPT + 5):
        found = keeper.released(found, f"lease-{number}")
    assert len(found["ended"]) == keeper.ENDED_KEPT
    assert "lease-0" not in found["ended"]
    assert f"lease-{keeper.ENDED_KEPT + 4}" in found["ended"]


CHAIN = lines(5)
FORGED = lines(1, start=3, previous=json.loads(CHAIN[1])["hash"], who="eve@desk 2")
TAMPERED = {
    "nothing": (CHAIN, 5, ""),
    "no line at all": ([], 0, ""),
    "a word": ([*CHAIN[:2], CHAIN[2].replace("ana", "eve"), *CHAIN[3:]], 2, "line 3 was altered"),
    "a space": ([*CHAIN[:2], CHAIN[2].replace('":', '": ', 1), *CHAIN[3:]], 2, "line 3 was altered"),
    "a number": ([*CHAIN[:2], CHAIN[2].replace('"number":3', '"number":4'), *CHAIN[3:]], 2, "line 3 was altered"),
    "a name added": ([CHAIN[0][:-1] + ',"x":1}', *CHAIN[1:]], 0, "line 1 was altered"),
    "a line and its hash": ([*CHAIN[:2], *FORGED, *CHAIN[3:]], 3, "line 4 does not follow the line before it"),
    "the first line removed": (CHAIN[1:], 0, "line 1 is missing"),
    "a line removed": ([*CHAIN[:2], *CHAIN[3:]], 2, "line 3 is missing"),
    "a line doubled": ([*CHAIN[:3], *CHAIN[2:]], 3, "line 4 says that it is line 3"),
    "two lines exchanged": ([CHAIN[1], CHAIN[0], *CHAIN[2:]], 0, "line 1 is missing"),
    "a line emptied": ([*CHAIN[:2], "", *CHAIN[3:]], 2, "line 3 is not a line of a journal"),
    "a line that is other JSON": ([*CHAIN[:2], "[1]", *CHAIN[3:]], 2, "line 3 is not a line of a journal"),
    "a line of half a letter": ([*CHAIN[:2], '{"number":3,"who":"\\ud800"}'], 2, "line 3 is not a line of a journal"),
    "a line without end": ([*CHAIN[:2], "[" * 3000], 2, "line 3 is not a line of a journal"),
    "a line that is too long": (
        [keeper.canonical(entry(1, "", what="x" * 4000))],
        0,
        "line 1 is not a line of a journal",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_shows_at_its_line(what: str) -> None:
    tampered, good, problem = TAMPERED[what]
    found = keeper.chain(tampered)
    assert (found["number"], found["problem"]) == (good, problem)


@pytest.mark.parametrize("name", [name for name in entry(1, "") if name != "hash"])
def test_no_part_of_a_line_can_be_altered_without_a_trace(name: str) -> None:
    written = entry(1, keeper.START)
    altered = {**written, name: 2 if name == "number" else "other"}
    assert keeper.chain([keeper.canonical(altered)])["problem"] == "line 1 was altered"


# The program itself.


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_reading_leaves_no_trace(hosts: Hosts) -> None:
    assert hosts("lb-1", "show", {}) == {"held": None}
    assert hosts("lb-1", "head", {}) == {"number": 0, "hash": keeper.START, "problem": ""}
    assert hosts("lb-1", "read", {"after": 0}) == {"lines": [], "cut": False}
    assert list(hosts.root.iterdir()) == []


def test_everybody_may_read_what_root_alone_may_write(hosts: Hosts) -> None:
    hosts("lb-1", "grant", claim("ana"))
    hosts("lb-1", "append", added([], CHAIN))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (hosts.root / "lb-1").iterdir()}
    assert modes == {"lease.json": "0o644", "journal.jsonl": "0o644", "lock": "0o644"}
    assert (hosts.root / "lb-1").stat().st_mode & 0o777 == 0o755


def test_the_question_is_plain_letters_whatever_language_the_host_speaks(hosts: Hosts) -> None:
    hosts.environment["LC_ALL"] = "POSIX"
    said = {"who": "Zoë's 🐝", "why": '"$HOME" `id` \\n'}
    assert hosts("lb-1", "grant", claim("ana") | said)["granted"]
    assert hosts("lb-1", "show", {})["held"].items() >= said.items()
    assert keepers.command("/var/lib/amebo-fleet", "grant", said).isascii()


def test_sudos_log_has_the_question_and_not_the_program() -> None:
    words = keepers.command("/var/lib/amebo-fleet", "show", {}).rpartition("|")[2]
    assert words == " sudo -n python3 - /var/lib/amebo-fleet show '{}'"


@pytest.mark.parametrize("days", [-3650, 3650])
def test_a_step_of_the_hosts_clock_changes_nothing(days: int, hosts: Hosts) -> None:
    assert LIBRARY, "no libfaketime on this machine; try: apt-get install faketime"
    hosts("lb-1", "grant", claim("ana"))
    hosts.environment.update(
        LD_PRELOAD=str(LIBRARY), FAKETIME=f"{days:+d}d", FAKETIME_DONT_FAKE_MONOTONIC="1", NO_FAKE_STAT="1"
    )
    held = hosts("lb-1", "show", {})["held"]
    assert 0 < held["left"] <= 30
    assert hosts("lb-1", "grant", claim("bob"))["granted"] is False


def test_of_many_that_come_at_once_one_gets_the_vote(hosts: Hosts) -> None:
    names = [f"operator-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: hosts("lb-1", "grant", claim(name)), names))
    (winner,) = [name for name, answer in zip(names, answers, strict=True) if answer["granted"]]
    assert {answer["held"]["id"] for answer in answers if not answer["granted"]} == {winner}


def test_of_many_that_append_at_once_one_adds_its_line(hosts: Hosts) -> None:
    hosts("lb-1", "append", added([], CHAIN))
    more = [lines(1, 6, head(CHAIN)["hash"], who=f"operator-{number}") for number in range(8)]
    with ThreadPoolExecutor(len(more)) as pool:
        answers = list(pool.map(lambda line: hosts("lb-1", "append", added(CHAIN, line)), more))
    assert [answer["written"] for answer in answers].count(True) == 1
    assert keeper.chain(hosts.journal("lb-1")) | {"hash": ""} == {"number": 6, "hash": "", "problem": ""}


def test_adds_only_where_the_journal_ends(hosts: Hosts) -> None:
    hosts("lb-1", "append", added([], CHAIN[:3]))
    answer = hosts("lb-1", "append", added(CHAIN[:4], CHAIN[4:]))
    assert answer == {"written": False, "head": {**head(CHAIN[:3]), "problem": ""}}
    answer = hosts("lb-1", "append", added(CHAIN[:3], CHAIN[4:]))
    assert answer == {"written": False, "diverges": "line 4 is missing"}
    assert hosts.journal("lb-1") == CHAIN[:3]


def test_adds_nothing_for_a_lease_that_was_broken_or_beside_another(hosts: Hosts) -> None:
    hosts("lb-1", "grant", claim("ana"))
    hosts("lb-1", "grant", claim("bob", instead_of="ana"))
    assert hosts("lb-1", "append", added([], CHAIN, "ana"))["ended"] == "broken by bob@desk 1: a fix"
    assert hosts("lb-1", "append", added([], CHAIN, "eve"))["held"]["id"] == "bob"
    assert hosts("lb-1", "append", added([], CHAIN, "bob")) == {"written": True}


def test_a_line_that_was_cut_short_is_never_built_upon(hosts: Hosts) -> None:
    hosts("lb-1", "append", added([], CHAIN[:3]))
    with hosts.file("lb-1", "journal.jsonl").open("a") as file:
        file.write(CHAIN[3][:50])
    assert hosts("lb-1", "read", {"after": 2}) == {"lines": CHAIN[2:3], "cut": True}
    assert hosts("lb-1", "append", added(CHAIN[:3], CHAIN[3:])) == {"written": True}
    assert hosts.journal("lb-1") == CHAIN


def test_a_disk_that_is_full_leaves_no_half_line(hosts: Hosts) -> None:
    """The shell's limit on a file's size stands for the disk."""
    hosts("lb-1", "append", added([], CHAIN[:2]))
    command = keepers.command(str(hosts.root / "lb-1"), "append", added(CHAIN[:2], CHAIN[2:]), python=sys.executable)
    size = hosts.file("lb-1", "journal.jsonl").stat().st_size
    limited = subprocess.run(["sh", "-c", f"ulimit -f {size // 512 + 1}; {command}"], capture_output=True, check=False)
    assert limited.returncode != 0
    assert b"File too large" in limited.stderr
    assert hosts.file("lb-1", "journal.jsonl").read_text() == "".join(f"{line}\n" for line in CHAIN[:2])


def test_bytes_that_are_no_text_are_an_altered_line(hosts: Hosts) -> None:
    hosts("lb-1", "append", added([], CHAIN))
    path = hosts.file("lb-1", "journal.jsonl")
    path.write_bytes(path.read_bytes().replace(b"step 5", b"step \xff"))
    assert hosts("lb-1", "head", {})["problem"] == "line 5 was altered"
    assert hosts("lb-1", "append", added(CHAIN, lines(1, 6, head(CHAIN)["hash"])))["head"]["number"] == 4


def test_a_line_of_the_widest_letters_can_be_added_to(hosts: Hosts) -> None:
    first = lines(2, what="\U0001f41d" * 3500)
    hosts("lb-1", "append", added([], first))
    assert hosts("lb-1", "append", added(first, lines(1, 3, head(first)["hash"]))) == {"written": True}


def test_a_host_whose_vote_cannot_be_read_has_none_and_says_what_to_do(hosts: Hosts) -> None:
    hosts("lb-1", "grant", claim("ana"))
    hosts.file("lb-1", "lease.json").write_text("{")
    with pytest.raises(HostUnreachable, match=r"lb-1: the keeper failed: .*lease\.json cannot be read; .*remove it"):
        hosts("lb-1", "grant", claim("bob"))


def test_a_keeper_that_waits_for_ever_ends(hosts: Hosts) -> None:
    """As when its disk hangs: what it was asked must not happen when everybody has given up on it."""
    hosts("lb-1", "grant", claim("ana"))
    program = keepers.PROGRAM.replace(f"PATIENCE_SECONDS = {keeper.PATIENCE_SECONDS}", "PATIENCE_SECONDS = 1")
    assert program != keepers.PROGRAM
    descriptor = os.open(hosts.file("lb-1", "lock"), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    argv = [sys.executable, "-c", program, str(hosts.root / "lb-1"), "release", '{"id": "ana"}']
    assert subprocess.run(argv, check=False, timeout=20).returncode == -signal.SIGALRM
    os.close(descriptor)
    assert hosts("lb-1", "show", {})["held"]["id"] == "ana"
