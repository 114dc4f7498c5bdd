"""What cannot work is refused with a clear error, before anything is half changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import LAB, Stories

pytestmark = pytest.mark.lab


@pytest.fixture
def unchanged(stories: Stories) -> Iterator[None]:
    """Whatever is refused, every instance serves on the version it had, with no release more on its host."""
    before, releases = stories.versions(), stories.releases()
    yield
    assert stories.versions() == before
    assert stories.releases() == releases


@pytest.mark.usefixtures("unchanged")
def test_a_broken_inventory(stories: Stories, tmp_path: Path) -> None:
    broken = tmp_path / "hosts.yml"
    broken.write_text("all:\n  children:\n  app: [oops\n")
    for words in (("status",), ("rolling-update", "1.0.0", "--yes")):
        output = stories.ops(*words, code=1, ANSIBLE_INVENTORY=str(broken))
        assert "cannot read the inventory" in output
        assert "hosts.yml" in output
        assert "Traceback" not in output


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_vault_password(stories: Stories, tmp_path: Path) -> None:
    version = stories.build()
    wrong = tmp_path / "password"
    wrong.write_text("not this one\n")
    for output in (
        stories.ops("rolling-update", version, "--yes", code=1, AMEBO_VAULT_PASSWORD_FILE=str(wrong)),
        stories.play("deploy", "-e", f"amebo_version={version}", code=4, AMEBO_VAULT_PASSWORD_FILE=str(wrong)),
    ):
        assert "ecrypt" in output
        assert "Traceback" not in output


@pytest.mark.usefixtures("unchanged")
def test_a_release_that_was_not_built(stories: Stories) -> None:
    assert "./ops.py build 9.9.9" in stories.ops("rolling-update", "9.9.9", "--yes", code=1)
    assert "ops.py build 9.9.9" in stories.play("deploy", "-e", "amebo_version=9.9.9", code=2)


@pytest.mark.usefixtures("unchanged")
def test_an_unreachable_host(stories: Stories) -> None:
    version = stories.build()
    stories.ops("lab", "break", "app-2", "partition", "--name", LAB)
    try:
        assert "app-2 does not answer" in stories.ops("rolling-update", version, "--yes", code=1)
        assert "app-2" in stories.play("deploy", "-e", f"amebo_version={version}", code=4)
    finally:
        stories.ops("lab", "mend", "app-2", "--name", LAB)
        stories.wait_until_ready()


@pytest.mark.usefixtures("unchanged")
def test_a_full_disk(stories: Stories) -> None:
    version = stories.build()
    stories.ops("lab", "break", "app-2", "disk-full", "--name", LAB)
    try:
        for output in (
            stories.ops("rolling-update", version, "--yes", code=1),
            stories.play("deploy", "-e", f"amebo_version={version}", code=2),
        ):
            assert "app-2 has 0 MB free under /opt" in output
    finally:
        stories.ops("lab", "mend", "app-2", "--name", LAB)
        stories.wait_until_ready()
