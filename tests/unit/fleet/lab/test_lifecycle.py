"""What a second `up` may ask of a lab that is there."""

import pytest

from fleet.errors import LabError
from fleet.lab import lifecycle
from fleet.lab.model import Lab, Limits

PRESENT = Lab("lab", 4, "bookworm", 5, Limits(1.0, 1024))


def agreed(
    present: Lab | None, hosts: int | None = None, debian: str | None = None, limits: Limits | None = None
) -> Lab:
    return lifecycle._agreed(present, "lab", hosts, debian, limits)


def test_a_new_lab_has_five_hosts_of_bookworm() -> None:
    assert agreed(None) == Lab("lab", 0, "bookworm", 5, Limits(1.0, 1024))


def test_refuses_a_debian_it_does_not_know() -> None:
    with pytest.raises(LabError, match="bookworm and trixie, not sid"):
        agreed(None, debian="sid")


def test_asking_for_nothing_changes_nothing() -> None:
    assert agreed(PRESENT) == PRESENT


def test_asking_for_more_hosts_adds_app_hosts() -> None:
    assert agreed(PRESENT, hosts=7) == Lab("lab", 4, "bookworm", 7, Limits(1.0, 1024))


@pytest.mark.parametrize(
    ("hosts", "debian", "limits"), [(4, None, None), (None, "trixie", None), (None, None, Limits(2.0, 1024))]
)
def test_refuses_what_only_a_new_lab_could_be(hosts: int | None, debian: str | None, limits: Limits | None) -> None:
    with pytest.raises(LabError, match=r"cannot become .* first run: ./ops.py lab down"):
        agreed(PRESENT, hosts, debian, limits)


def test_refuses_to_grow_where_growing_would_move_the_database() -> None:
    with pytest.raises(LabError, match="cannot become"):
        agreed(Lab("lab", 0, "bookworm", 2), hosts=3)
