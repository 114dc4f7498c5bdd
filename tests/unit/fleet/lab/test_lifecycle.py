"""What a second `up` may ask of a lab that is there."""

from typing import Any

import pytest

from fleet.errors import LabError
from fleet.lab import lifecycle
from fleet.lab.model import Lab, Limits

PRESENT = Lab("lab", 4, "bookworm", 5, Limits(1.0, 1024))


def agreed(present: Lab | None, **wanted: Any) -> Lab:
    return lifecycle._agreed(present, "lab", wanted)


def test_a_new_lab_has_five_hosts_of_bookworm() -> None:
    assert agreed(None) == Lab("lab", 0, "bookworm", 5, Limits(1.0, 1024))


def test_several_load_balancers_are_part_of_the_hosts() -> None:
    made = agreed(None, size=6, balancers=2)
    assert [host.name for host in made.hosts] == ["lb-1", "db-1", "lb-2", "app-1", "app-2", "app-3"]
    with pytest.raises(LabError, match="are 4 hosts, not 3"):
        agreed(None, size=3, balancers=2)


def test_refuses_a_debian_it_does_not_know() -> None:
    with pytest.raises(LabError, match="bookworm and trixie, not sid"):
        agreed(None, debian="sid")


def test_asking_for_nothing_changes_nothing() -> None:
    assert agreed(PRESENT) == PRESENT


def test_asking_for_more_hosts_adds_app_hosts() -> None:
    assert agreed(PRESENT, size=7) == Lab("lab", 4, "bookworm", 7, Limits(1.0, 1024))


@pytest.mark.parametrize(
    "wanted", [{"size": 4}, {"debian": "trixie"}, {"limits": Limits(2.0, 1024)}, {"balancers": 2}], ids=str
)
def test_refuses_what_only_a_new_lab_could_be(wanted: dict[str, Any]) -> None:
    with pytest.raises(LabError, match=r"cannot become .* first run: ./ops.py lab down"):
        agreed(PRESENT, **wanted)


def test_refuses_to_grow_where_growing_would_move_the_database() -> None:
    with pytest.raises(LabError, match="cannot become"):
        agreed(Lab("lab", 0, "bookworm", 2), size=3)
