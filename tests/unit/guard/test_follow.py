"""The access log as it grows, is rotated, emptied and missing: real files."""

from pathlib import Path

import pytest

from roles.guard.files.guard import follow
from roles.guard.files.guard.follow import Follower


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text("old\n")
    return path


def write(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_reads_what_is_new_and_once(log: Path) -> None:
    follower = Follower(log)
    write(log, "1\n2\n")
    assert follower.lines() == ["1", "2"]
    assert follower.lines() == []


def test_waits_for_the_rest_of_a_line(log: Path) -> None:
    follower = Follower(log)
    write(log, "1\nha")
    assert follower.lines() == ["1"]
    write(log, "lf\n")
    assert follower.lines() == ["half"]


def test_reads_the_old_file_to_its_end_and_then_the_new_one(log: Path) -> None:
    follower = Follower(log)
    write(log, "1\n")
    log.rename(log.with_suffix(".1"))
    write(log.with_suffix(".1"), "2\n")
    assert follower.lines() == ["1", "2"]
    write(log.with_suffix(".1"), "3\n")
    write(log, "4\n")
    assert follower.lines() == ["3", "4"]
    write(log, "5\n")
    assert follower.lines() == ["5"]


def test_begins_anew_when_the_file_is_emptied_in_place(log: Path) -> None:
    follower = Follower(log)
    write(log, "long and half")
    assert follower.lines() == []
    log.write_text("1\n")
    assert follower.lines() == ["1"]


def test_a_file_that_is_not_there_is_read_from_its_start_when_it_comes(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    follower = Follower(log)
    assert follower.lines() == []
    write(log, "1\n")
    assert follower.lines() == ["1"]


def test_a_file_that_goes_away_is_no_error(log: Path) -> None:
    follower = Follower(log)
    log.unlink()
    assert follower.lines() == []
    write(log, "1\n")
    assert follower.lines() == ["1"]


def test_where_too_much_has_come_it_reads_the_newest(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MOST", 10)
    follower = Follower(log)
    write(log, "".join(f"{number:03}\n" for number in range(100)))
    assert follower.lines()[-2:] == ["098", "099"]
    assert follower.lines() == []


def test_bytes_that_are_no_text_do_not_end_it(log: Path) -> None:
    follower = Follower(log)
    with log.open("ab") as file:
        file.write(b"\xff\xfe\n1\n")
    assert follower.lines()[-1] == "1"
