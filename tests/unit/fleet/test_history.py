"""What the journal's copies tell, and what is wrong with them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet import history
from fleet.effects import journal, keeper
from fleet.effects.journal import Copy, Draft

AT = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
ANA = Draft("c1", "ana@desk 1", "rolling-update", "to 1.4.0", "a fix", "begun")
STEP = replace(ANA, what="step 1/1: stage 1.4.0")
Said = tuple[float, Draft]


def lines(*said: Said, start: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A chain of what was said so many seconds after ten o'clock."""
    made = [*start]
    for seconds, draft in said:
        end = keeper.chain(made)
        made.append(journal.line(draft, AT + timedelta(seconds=seconds), end["number"] + 1, end["hash"]))
    return tuple(made)


def ended(draft: Draft, result: str = "done") -> Draft:
    return replace(draft, result=result)


def copies(**hosts: tuple[str, ...]) -> dict[str, Copy]:
    return {name.replace("_", "-"): Copy(made) for name, made in hosts.items()}


GOOD = lines((0, ANA), (1, STEP), (3, ended(STEP)), (4, ended(ANA)))
SHORT = GOOD[:2]
OTHER = lines((9, ANA), (9, STEP), start=SHORT)
ALTERED = (GOOD[0], GOOD[1].replace("ana@", "eve@"), *GOOD[2:])
REMOVED = (GOOD[0], *GOOD[2:])


def test_a_change_is_its_first_line_its_last_and_the_steps_between() -> None:
    (change,) = history.changes(copies(lb_1=GOOD))
    assert change == history.Change(
        "c1",
        AT,
        "ana@desk 1",
        "rolling-update",
        "to 1.4.0",
        "a fix",
        "done",
        4.0,
        (history.Part(AT + timedelta(seconds=1), STEP.what, "done", 2.0),),
    )


BOB = Draft("c1", "bob@desk 2", history.BREAK, "broke the lock of ana@desk 1", "a thief", "aborted")
HISTORIES: dict[str, tuple[tuple[Said, ...], str, float | None, list[tuple[str, float | None]]]] = {
    "it runs, or died": (((0, ANA),), history.NOT_ENDED, None, []),
    "it died in a step": (((0, ANA), (1, STEP)), history.NOT_ENDED, None, [(history.NOT_ENDED, None)]),
    "it died after a step": (((0, ANA), (1, STEP), (2, ended(STEP))), history.NOT_ENDED, None, [("done", 1.0)]),
    "it failed": (
        ((0, ANA), (1, STEP), (2, ended(STEP, "failed: no room")), (3, ended(ANA, "failed: no room"))),
        "failed: no room",
        3.0,
        [("failed: no room", 1.0)],
    ),
    "it was broken": (((0, ANA), (1, STEP), (5, BOB)), "aborted", 5.0, [("aborted", 0.0), (history.NOT_ENDED, None)]),
    "its clock was set back": (((9, ANA), (5, STEP), (2, ended(STEP)), (1, ended(ANA))), "done", 0.0, [("done", 0.0)]),
    "a step was done twice": (
        ((0, ANA), (1, STEP), (2, ended(STEP)), (3, STEP), (7, ended(STEP)), (8, ended(ANA))),
        "done",
        8.0,
        [("done", 1.0), ("done", 4.0)],
    ),
    "a step has one line only": (((0, ANA), (1, ended(STEP)), (2, ended(ANA))), "done", 2.0, [("done", 0.0)]),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_tells_how_a_change_ended(case: str) -> None:
    said, result, seconds, steps = HISTORIES[case]
    (change,) = history.changes(copies(lb_1=lines(*said)))
    assert (change.result, change.seconds) == (result, seconds)
    assert sorted((step.result, step.seconds) for step in change.steps) == sorted(steps)


def test_changes_come_in_the_order_in_which_they_began() -> None:
    other = replace(ANA, change="c2")
    told = history.changes(copies(lb_1=lines((5, ANA), (1, other), (2, ended(other)), (6, ended(ANA)))))
    assert [change.id for change in told] == ["c1", "c2"]


def test_the_longest_intact_copy_is_told() -> None:
    assert history.changes(copies(lb_1=SHORT, lb_2=GOOD)) == history.changes(copies(lb_1=GOOD))
    assert history.changes(copies(lb_1=ALTERED, lb_2=SHORT)) == history.changes(copies(lb_1=SHORT))
    assert history.changes({}) == history.changes(copies(lb_1=())) == ()


NOT_SAME = "line 3 is not the one that lb-1 has: it diverges from there on"
FOUND: dict[str, tuple[dict[str, Copy], dict[str, str], int, list[str]]] = {
    "all the same": (copies(lb_1=GOOD, lb_2=GOOD), {}, 4, []),
    "nothing written yet": (copies(lb_1=(), lb_2=()), {}, 0, []),
    "one was away": (copies(lb_1=SHORT, lb_2=GOOD), {}, 4, ["lb-1: lines 3 to 4 are missing, lb-2 has more"]),
    "one lacks the last": (copies(lb_1=GOOD, lb_2=GOOD[:3]), {}, 4, ["lb-2: line 4 is missing, lb-1 has more"]),
    "one is new": (copies(lb_1=GOOD, lb_2=()), {}, 4, ["lb-2: lines 1 to 4 are missing, lb-1 has more"]),
    "one is away": (copies(lb_1=GOOD), {"lb-2": "lb-2 does not answer"}, 4, ["lb-2 does not answer"]),
    "none answers": ({}, {"lb-1": "lb-1 does not answer"}, 0, ["lb-1 does not answer"]),
    "one was altered": (copies(lb_1=ALTERED, lb_2=GOOD), {}, 4, ["lb-1: line 2 was altered"]),
    "one lost a line": (copies(lb_1=GOOD, lb_2=REMOVED), {}, 4, ["lb-2: line 2 is missing"]),
    "one was written anew": (copies(lb_1=GOOD, lb_2=OTHER), {}, 4, [f"lb-2: {NOT_SAME}"]),
    "the most decide": (
        copies(lb_1=OTHER, lb_2=GOOD, lb_3=GOOD),
        {},
        4,
        ["lb-1: line 3 is not the one that lb-2 has: it diverges from there on"],
    ),
    "the only one was altered": (copies(lb_1=ALTERED), {}, 1, ["lb-1: line 2 was altered"]),
    "one was cut in a line": ({"lb-1": Copy(GOOD, is_cut=True)}, {}, 4, ["lb-1: line 5 is cut short"]),
    "two things at once": (
        {"lb-1": Copy(GOOD), "lb-2": Copy(SHORT, is_cut=True)},
        {},
        4,
        ["lb-2: lines 3 to 4 are missing, lb-1 has more", "lb-2: line 3 is cut short"],
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_says_what_is_wrong_with_which_line_of_which_copy(case: str) -> None:
    given, away, count, problems = FOUND[case]
    found = history.findings(given, away)
    assert found.lines == count
    assert [why.partition(";")[0] for why in found.problems] == problems


def test_the_end_of_the_journal_can_be_kept_elsewhere() -> None:
    assert history.findings(copies(lb_1=GOOD), {}).hash == keeper.chain(GOOD)["hash"]
