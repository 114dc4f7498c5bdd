"""What every role and playbook keeps to, so that knowing one is knowing all."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no type hints

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
TASK_FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")])
TEMPLATES = sorted([*ROOT.glob("roles/*/templates/*.j2"), *ROOT.glob("templates/**/*.j2")])
CONTENTS_PAGES = ("main", "replace", "dispatchers")
BLOCKS = ("block", "rescue", "always")

for_each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Every task of a file, also those in blocks."""
    waiting: list[dict[str, Any]] = [*load(path)]
    while waiting:
        task = waiting.pop(0)
        yield task
        waiting += [inner for block in BLOCKS for inner in task.get(block, ())]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@for_each_role
def test_a_role_has_all_its_parts(role: Path) -> None:
    parts = ("README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml")
    scenario = ("molecule.yml", "converge.yml", "tests")
    wanted = [*parts, *(f"molecule/default/{name}" for name in scenario)]
    assert [part for part in wanted if not (role / part).exists()] == []


@for_each_role
def test_defaults_and_argument_specs_list_the_same_names(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    optional = {name for name, option in options.items() if not option.get("required")}
    assert optional == set(load(role / "defaults/main.yml"))


@for_each_role
def test_what_has_no_default_is_said_in_defaults(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    text = (role / "defaults/main.yml").read_text()
    assert [name for name, option in options.items() if option.get("required") and name not in text] == []


@for_each_role
def test_secrets_are_declared_as_such(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    secrets = [name for name in options if re.search(r"password|secret", name)]
    assert [name for name in secrets if not options[name].get("no_log")] == []


@for_each_role
def test_a_sentence_stands_above_every_default(role: Path) -> None:
    lines = ["", *(role / "defaults/main.yml").read_text().splitlines()]
    bare = [line for above, line in pairwise(lines) if line[:1].isalpha() and not above.startswith("# ")]
    assert bare == []


@for_each_role
def test_a_role_names_its_variables_after_itself(role: Path) -> None:
    names = {*load(role / "defaults/main.yml")}
    internal = {*load(role / "vars/main.yml")} if (role / "vars/main.yml").exists() else set()
    assert [name for name in names if not name.startswith(f"{role.name}_")] == []
    assert [name for name in internal if not name.startswith(f"__{role.name}_")] == []


@for_each_role
def test_a_role_knows_no_inventory_group(role: Path) -> None:
    files = [
        path for part in ("tasks", "handlers", "defaults", "vars", "templates") for path in (role / part).glob("*")
    ]
    assert [relative(path) for path in files if re.search(r"groups\[|hostvars|vault_amebo", path.read_text())] == []


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=relative)
def test_every_task_and_play_has_a_name(path: Path) -> None:
    assert [task for task in tasks(path) if not task.get("name")] == []


@pytest.mark.parametrize("path", [path for path in TASK_FILES if path.stem not in CONTENTS_PAGES], ids=relative)
def test_an_included_task_says_which_file_it_is_in(path: Path) -> None:
    assert [task["name"] for task in tasks(path) if not task["name"].startswith(f"{path.stem} | ")] == []


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=relative)
def test_no_error_is_ignored(path: Path) -> None:
    assert "ignore_errors" not in path.read_text()


@pytest.mark.parametrize("path", TASK_FILES, ids=relative)
def test_a_tasks_file_is_short(path: Path) -> None:
    assert len(load(path)) <= 8


@pytest.mark.parametrize("path", PLAYBOOKS, ids=relative)
def test_a_playbook_opens_by_saying_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("---\n# ")


@pytest.mark.parametrize("path", PLAYBOOKS, ids=relative)
def test_a_failure_on_one_host_stops_a_change_of_many(path: Path) -> None:
    plays = [play for play in load(path) if "hosts" in play]
    assert [play["name"] for play in plays if not play.get("any_errors_fatal")] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=relative)
def test_a_template_opens_with_who_wrote_the_file(path: Path) -> None:
    """A part that others include says nothing: it is not a file of its own."""
    if not any(f"include '{path.name}'" in other.read_text() for other in TEMPLATES):
        assert path.read_text().startswith("{{ ansible_managed | comment }}\n")
