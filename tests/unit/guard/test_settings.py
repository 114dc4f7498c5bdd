"""The guard's settings: what is not named is as usual, what makes no sense is refused in a sentence."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from roles.guard.files.guard.model import Policy
from roles.guard.files.guard.settings import Settings, SettingsError, load

DOCS = Path(__file__).parents[3] / "docs/guard.md"


def loaded(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "guard.json"
    path.write_text(text)
    return load(path)


def test_what_is_not_named_is_as_usual(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{}") == Settings()


def test_a_policy_may_differ_in_parts(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '{"listen": "127.0.0.1:1", "policy": {"wait": 20, "weights": [10, 100]}}')
    assert settings == Settings(listen="127.0.0.1:1", policy=Policy(wait=20, weights=(10, 100)))


@pytest.mark.parametrize("part", fields(Policy), ids=lambda part: part.name)
def test_the_usual_policy_passes_its_own_checks_part_by_part(part: object, tmp_path: Path) -> None:
    name, value = part.name, part.default  # type: ignore[attr-defined]  # a dataclass' field
    assert loaded(tmp_path, json.dumps({"policy": {name: value}})).policy == Policy()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ('{"polcy": {}}', "no setting is called polcy; there are access_log, listen, policy, traffic"),
        ('{"traffic": 8405}', "traffic: text is wanted"),
        ('{"traffic": "localhost"}', "traffic is 'localhost'; wanted: address:port"),
        ('{"policy": []}', "policy is not an object"),
        ('{"policy": {"wiat": 1}}', "no part of the policy is called wiat; there are"),
        ('{"policy": {"down": 0}}', "down is 0; wanted: a positive number"),
        ('{"policy": {"down": 2.5}}', "down is 2.5"),
        ('{"policy": {"down": true}}', "down is True"),
        ('{"policy": {"wait": "long"}}', "wait is 'long'; wanted: a number of 0 or more"),
        ('{"policy": {"interval": 60}}', "interval is 60; wanted: at most 5 seconds"),
        ('{"policy": {"interval": NaN}}', "interval is nan"),
        ('{"policy": {"windows": []}}', "windows is (); wanted: a list of positive numbers"),
        ('{"policy": {"windows": 2}}', "windows is 2"),
        ('{"policy": {"weights": [50, 5, 100]}}', "wanted: percents that rise to 100"),
        ('{"policy": {"weights": [5, 50]}}', "wanted: percents that rise to 100"),
        ('{"policy": {"kept": 0.4}}', "at least half stays in service"),
        ('{"policy": {"failed_share": 2}}', "failed_share is 2; wanted: at most 1"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, text)
    assert says in str(refused.value)


@pytest.mark.parametrize("part", fields(Policy), ids=lambda part: part.name)
def test_the_docs_tell_each_part_of_the_policy_with_its_usual_value(part: object) -> None:
    name, value = part.name, part.default  # type: ignore[attr-defined]  # a dataclass' field
    shown = ", ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else f"{value:g}"
    assert f"| `{name}` | {shown} |" in DOCS.read_text()
