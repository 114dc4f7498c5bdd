"""The journal on several load balancers that are folders."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from fleet.effects import journal, keeper
from fleet.effects.journal import Draft, Journal
from fleet.effects.lease import LeaseLost
from fleet.errors import FleetError
from tests.unit.fleet.effects.hosts import Hosts

LBS = ("lb-1", "lb-2", "lb-3")
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, timezone(timedelta(hours=2)))
DRAFT = Draft("c1", "ana@desk 1", "rolling-update", "step 1/2: stage 1.4.0", "a fix", "begun")


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, in_process=True)


def write(book: Journal, *whats: str) -> journal.Written:
    """Some lines; the last one's receipt."""
    for what in whats:
        written = book.append(replace(DRAFT, what=what), AT, "ana")
    return written


def whats(hosts: Hosts, host: str) -> list[str]:
    return [json.loads(line)["what"] for line in hosts.journal(host)]


def test_a_line_says_who_did_what_when_why_and_how_it_ended() -> None:
    entry = json.loads(journal.line(DRAFT, AT, 7, "the hash before"))
    assert entry.pop("hash") == keeper.digest(entry)
    assert entry == {
        "number": 7,
        "time": "2026-03-01T10:30:15.123Z",
        "change": "c1",
        "who": "ana@desk 1",
        "verb": "rolling-update",
        "what": "step 1/2: stage 1.4.0",
        "why": "a fix",
        "result": "begun",
        "previous": "the hash before",
    }


@pytest.mark.parametrize("letter", ["x", '"', "\\", "\n", "\x00", "\u2028", "é", "\U0001f41d", "\ud800"])
def test_a_line_is_one_short_line_whatever_it_is_to_say(letter: str) -> None:
    long = letter * 100_000
    line = journal.line(Draft(long, long, long, long, long, long), AT, 10**9, "0" * 64)
    assert len(line) <= keeper.LINE_LIMIT
    assert len(line.splitlines()) == 1
    assert keeper.chain([line], 10**9 - 1, "0" * 64)["problem"] == ""


def test_what_is_cut_off_shows() -> None:
    assert journal.clipped("a\n  reason\t", 100) == "a reason"
    assert journal.clipped("x" * 101, 100).endswith("x…")


def test_a_line_is_on_every_load_balancer(hosts: Hosts) -> None:
    written = write(Journal(hosts, LBS), "one", "two")
    assert (written.number, written.missing) == (2, {})
    assert hosts.journal("lb-1") == hosts.journal("lb-2") == hosts.journal("lb-3")
    assert keeper.chain(hosts.journal("lb-1")) == {"number": 2, "hash": written.hash, "problem": ""}


def test_a_line_costs_each_load_balancer_one_question(hosts: Hosts) -> None:
    book = Journal(hosts, LBS)
    write(book, "one")
    hosts.asked.clear()
    write(book, "two", "three")
    assert Counter(hosts.asked) == {(host, "append"): 2 for host in LBS}


def test_the_next_operator_goes_on_where_the_last_one_ended(hosts: Hosts) -> None:
    write(Journal(hosts, LBS), "one", "two")
    assert write(Journal(hosts, LBS), "three").number == 3
    assert whats(hosts, "lb-2") == ["one", "two", "three"]


def test_a_load_balancer_that_was_away_is_caught_up_before_the_next_line(hosts: Hosts) -> None:
    book = Journal(hosts, LBS)
    write(book, "one")
    hosts.away = {"lb-1", "lb-3"}
    assert write(book, "two", "three").missing == {
        "lb-1": "lb-1 does not answer",
        "lb-3": "lb-3 does not answer",
    }
    hosts.away = set()
    assert write(book, "four").missing == {}
    assert hosts.journal("lb-1") == hosts.journal("lb-2") == hosts.journal("lb-3")
    assert whats(hosts, "lb-1") == ["one", "two", "three", "four"]


def test_the_first_line_after_a_pause_goes_on_from_the_longest_copy(hosts: Hosts) -> None:
    hosts.away = {"lb-1"}
    write(Journal(hosts, LBS), "one", "two")
    hosts.away = set()
    assert write(Journal(hosts, LBS), "three").missing == {}
    assert whats(hosts, "lb-1") == ["one", "two", "three"]


def test_a_new_load_balancer_gets_all_of_a_long_journal(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "COMMAND_LIMIT", 1500)
    names = [f"it's line {number}" for number in range(12)]
    write(Journal(hosts, LBS[:2]), *names)
    hosts.asked.clear()
    assert write(Journal(hosts, LBS), "the last").missing == {}
    assert whats(hosts, "lb-3") == [*names, "the last"]
    assert Counter(hosts.asked)["lb-3", "append"] > 4, "in several parts"


def test_a_part_fits_into_a_command_line_whatever_it_holds(hosts: Hosts) -> None:
    book = Journal(hosts, LBS[:1])
    write(book, *("'" * 1000 for _ in range(25)))
    parts = list(journal._parts(hosts.journal("lb-1")))
    assert [line for part in parts for line in part] == hosts.journal("lb-1")
    assert 1 < len(parts) < 5
    hosts.in_process = False
    assert write(Journal(hosts, LBS[:2]), "the last").missing == {}
    assert hosts.journal("lb-2") == hosts.journal("lb-1")


def test_a_copy_that_diverges_is_reported_and_left_as_it_is(hosts: Hosts) -> None:
    write(Journal(hosts, ("lb-1", "lb-2")), "one", "two")
    write(Journal(hosts, ("lb-3",)), "another")
    before = hosts.journal("lb-3")
    written = write(Journal(hosts, LBS), "three")
    assert written.missing == {"lb-3": "lb-3: its journal diverges from the others'"}
    assert hosts.journal("lb-3") == before
    assert whats(hosts, "lb-1") == ["one", "two", "three"]


def test_of_two_copies_of_one_length_the_one_that_more_have_goes_on(hosts: Hosts) -> None:
    write(Journal(hosts, ("lb-1",)), "another")
    write(Journal(hosts, ("lb-2", "lb-3")), "one")
    assert write(Journal(hosts, LBS), "two").missing == {"lb-1": "lb-1: its journal diverges from the others'"}
    assert whats(hosts, "lb-2") == ["one", "two"]


def test_an_altered_copy_is_neither_gone_on_with_nor_mended(hosts: Hosts) -> None:
    write(Journal(hosts, LBS), "one", "two")
    path = hosts.file("lb-1", "journal.jsonl")
    path.write_text(path.read_text().replace("two", "too"))
    assert write(Journal(hosts, LBS), "three").missing == {"lb-1": "lb-1: line 2 was altered"}
    assert whats(hosts, "lb-1") == ["one", "too"]
    assert whats(hosts, "lb-2") == ["one", "two", "three"]


def test_without_an_intact_copy_nothing_is_written(hosts: Hosts) -> None:
    write(Journal(hosts, LBS[:1]), "one", "two")
    path = hosts.file("lb-1", "journal.jsonl")
    path.write_text(path.read_text().replace("one", "eno"))
    with pytest.raises(FleetError, match=r"lb-1: line 1 was altered\. Look: \./ops\.py journal verify"):
        write(Journal(hosts, LBS[:1]), "three")
    assert whats(hosts, "lb-1") == ["eno", "two"]


def test_when_no_load_balancer_answers_it_says_so(hosts: Hosts) -> None:
    book = Journal(hosts, LBS[:2])
    write(book, "one")
    hosts.away = set(LBS)
    with pytest.raises(FleetError, match="lb-1 does not answer; lb-2 does not answer"):
        write(book, "two")


def test_a_line_that_somebody_else_added_in_between_is_kept(hosts: Hosts) -> None:
    book = Journal(hosts, LBS)
    write(book, "one")
    write(Journal(hosts, LBS), "two")
    assert write(book, "three").number == 3
    assert whats(hosts, "lb-3") == ["one", "two", "three"]


def test_an_operator_whose_lock_was_broken_writes_nothing(hosts: Hosts) -> None:
    broken = {"instead_of": "ana", "who": "bob", "why": "gone"}
    hosts("lb-1", "grant", {"id": "bob", "ttl": 30, **broken})
    with pytest.raises(LeaseLost, match="broken by bob: gone"):
        write(Journal(hosts, LBS[:1]), "one")
    assert hosts.journal("lb-1") == []


def test_a_load_balancer_whose_vote_another_has_misses_the_line(hosts: Hosts) -> None:
    hosts("lb-1", "grant", {"id": "bob", "ttl": 30, "instead_of": "", "who": "bob", "why": "x"})
    assert write(Journal(hosts, LBS), "one").missing == {"lb-1": "lb-1: bob has its vote for the lock"}


def test_reads_every_copy_that_answers(hosts: Hosts) -> None:
    write(Journal(hosts, LBS), "one")
    hosts.away = {"lb-2"}
    copies, away = journal.read(hosts, LBS)
    assert copies == {host: journal.Copy(tuple(hosts.journal(host))) for host in ("lb-1", "lb-3")}
    assert away == {"lb-2": "lb-2 does not answer"}
    assert datetime.fromisoformat(json.loads(copies["lb-1"].lines[0])["time"]).astimezone(UTC).hour == 10
