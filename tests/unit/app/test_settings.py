"""Where settings come from, which wins, and what is refused."""

import json
from pathlib import Path

import pytest

from app import settings
from app.__main__ import main
from app.errors import SettingsError
from app.settings import EVERYWHERE, Settings


def test_the_command_line_wins_then_the_environment_then_the_file(tmp_path: Path) -> None:
    (tmp_path / "amebo.json").write_text(json.dumps({"AMEBO_PORT": 1, "AMEBO_THREADS": 2, "AMEBO_IDLES": 0.5}))
    environment = {"AMEBO_PORT": "3", "AMEBO_THREADS": "4", "AMEBO_ENVELOPE": ""}
    chosen = settings.load({"port": "5"}, environment, tmp_path)
    assert (chosen.port, chosen.threads, chosen.idles, chosen.envelope) == (5, 4, 0.5, 256)


def test_variables_of_other_tools_are_left_alone(tmp_path: Path) -> None:
    environment = {"AMEBO_LAB_CACHE": "x", "AMEBO_VAULT_PASSWORD_FILE": "x", "AMEBO_INVENTORY": "x", "amebo_port": "1"}
    assert settings.load({}, environment, tmp_path).port == 3310


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"AMEBO_PROT": 1, "port": 2}, "AMEBO_PROT, port"),
        ([], "one JSON object"),
        ({"AMEBO_PORT": "x"}, "AMEBO_PORT"),
        ({"AMEBO_DRAIN_TIMEOUT": -1}, "AMEBO_DRAIN_TIMEOUT"),
        ({"AMEBO_ALLOW_PRIVATE_HANDLERS": "10.0.0.0/99"}, "AMEBO_ALLOW_PRIVATE_HANDLERS"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, content: object, named: str) -> None:
    path = tmp_path / "elsewhere.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=named):
        settings.load({}, {"AMEBO_CONFIG": str(path)}, tmp_path)


@pytest.mark.parametrize(
    ("text", "networks"),
    [("true", EVERYWHERE), ("no", ()), ("", ()), ("10.0.0.0/8, fd00::/8", ("10.0.0.0/8", "fd00::/8"))],
)
def test_private_handlers_are_allowed_all_none_or_by_network(
    tmp_path: Path, text: str, networks: tuple[object, ...]
) -> None:
    chosen = settings.load({"allow_private_handlers": text}, {}, tmp_path)
    assert tuple(map(str, chosen.allow_private_handlers)) == tuple(map(str, networks))


def test_secrets_are_masked(tmp_path: Path) -> None:
    environment = {"AMEBO_DSN": "host=db password=x", "AMEBO_SECRET": "s" * 32, "AMEBO_USERNAME": "admin"}
    shown = settings.shown(settings.load({}, environment, tmp_path))
    assert (shown["AMEBO_DSN"], shown["AMEBO_SECRET"], shown["AMEBO_PASSWORD"]) == ("********", "********", "")
    assert shown["AMEBO_USERNAME"] == "admin"


def test_a_repr_shows_no_secret() -> None:
    shown = repr(Settings(dsn="host=db password=hidden", secret="hidden" * 6, password="hidden"))
    assert "username" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://u:se%zzcret@h/db", "postgresql://u:zzcret/1@h/db", "host=h password='zzcret", "host=h zzcret"],
)
def test_a_malformed_dsn_is_refused_and_not_quoted(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["migrate", "--dsn", dsn]) == 1
    said = capsys.readouterr().err
    assert "AMEBO_DSN is malformed" in said
    assert "zzcret" not in said


@pytest.mark.parametrize(
    "dsn", ["", "postgresql:///amebo", "postgresql://u:a%2Fb@h:5432,i:/db", "host=h port=5432,5433"]
)
def test_a_good_dsn_is_taken_as_it_stands(dsn: str, tmp_path: Path) -> None:
    assert settings.load({"dsn": dsn}, {}, tmp_path).dsn == dsn


def test_refuses_to_start_without_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AMEBO_DSN, AMEBO_SECRET"):
        settings.require(settings.load({}, {}, tmp_path), "dsn", "secret")
    with pytest.raises(SettingsError, match="32 characters"):
        settings.require(settings.load({"secret": "short"}, {}, tmp_path), "secret")
