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
    others = {
        "AMEBO_LAB_CACHE": "x",
        "AMEBO_VAULT_PASSWORD_FILE": "x",
        "AMEBO_WEBHOOK_SECRET": "x",
        "amebo_port": "1",
        "PORT": "1",
    }
    assert settings.load({}, others, tmp_path) == Settings()


def test_all_unknown_names_are_refused_at_once_with_the_names_that_were_meant(tmp_path: Path) -> None:
    (tmp_path / "amebo.json").write_text(json.dumps({"AMEBO_PROT": 1, "threads": 2, "AMEBO_DSN": "host=db"}))
    environment = {"AMEBO_PASWORD": "hidden", "AMEBO_ZZZ": "hidden", "AMEBO_PORT": "1", "AMEBO_Port": ""}
    with pytest.raises(SettingsError) as refusal:
        settings.load({}, environment, tmp_path)
    said = str(refusal.value)
    for name in (
        "AMEBO_PASWORD (is AMEBO_PASSWORD meant?) in the environment",
        "AMEBO_Port (is AMEBO_PORT meant?) in the environment",
        "AMEBO_ZZZ in the environment",
        f"AMEBO_PROT (is AMEBO_PORT meant?) in {tmp_path / 'amebo.json'}",
        "threads (is AMEBO_THREADS meant?)",
    ):
        assert name in said
    assert "hidden" not in said
    assert "AMEBO_DSN" not in said


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "one JSON object"),
        ({"AMEBO_PORT": "x"}, "AMEBO_PORT cannot be 'x': it must be a whole number"),
        ({"AMEBO_DRAIN_TIMEOUT": -1}, "AMEBO_DRAIN_TIMEOUT"),
        ({"AMEBO_ALLOW_PRIVATE_HANDLERS": "10.0.0.0/99"}, "AMEBO_ALLOW_PRIVATE_HANDLERS"),
        ({"AMEBO_PASSWORD": None}, "AMEBO_PASSWORD in .* must be a string"),
        ({"AMEBO_TRUSTED_PROXIES": ["10.0.0.0/8"]}, "AMEBO_TRUSTED_PROXIES in .* must be a string"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, content: object, named: str) -> None:
    path = tmp_path / "elsewhere.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=named):
        settings.load({}, {"AMEBO_CONFIG": str(path)}, tmp_path)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"AMEBO_CONFIG names .*gone\.json"):
        settings.load({}, {"AMEBO_CONFIG": str(tmp_path / "gone.json")}, tmp_path)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("port", ["0", "65535"], ["-1", "65536", "3310.5", "1e3", ""]),
        ("threads", ["1", "1000"], ["0", "1001"]),
        ("envelope", ["1", "10000"], ["0", "-1"]),
        ("pool", ["0", "20"], ["-1"]),
        ("places", ["0", "512"], ["-1"]),
        ("dispatchers", ["1", "64"], ["0", "65"]),
        ("commit_window", ["0", "2.5"], ["-0.1", "1001", "nan"]),
        ("commit_most", ["1", "1000"], ["0", "many"]),
        ("idles", ["0.1", "60"], ["0", "inf"]),
        ("lease", ["1", "90"], ["0", "inf"]),
        ("delivery_timeout", ["0.5", "30"], ["0", "nan", "3601"]),
        ("keys_retention", ["0.5", "7"], ["0", "inf"]),
        ("rate_limit", ["0", "100000"], ["-1", "0.5"]),
        ("rate_limit_address", ["0", "100000"], ["-1", "0.5"]),
        ("login_failures", ["1", "10"], ["0"]),
        ("log_level", ["debug", "WARNING"], ["loud"]),
        ("log_format", ["text", "JSON"], ["xml"]),
        ("console", ["true", "NO", "1", "off"], ["maybe", ""]),
        ("status_socket", ["/run/a:1.sock", "a.sock", "localhost:9100", "[::1]:65535"], ["localhost:0", "localhost:x"]),
        ("trusted_proxies", ["10.0.0.0/8", "false"], ["nginx", "10.0.0.0/33"]),
    ],
)
def test_each_setting_has_its_bounds(tmp_path: Path, name: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        settings.load({name: text}, {}, tmp_path)
    for text in bad:
        with pytest.raises(SettingsError, match=f"AMEBO_{name.upper()} cannot be"):
            settings.load({name: text}, {}, tmp_path)


def test_a_setting_becomes_what_it_is(tmp_path: Path) -> None:
    environment = {
        "AMEBO_LOG_LEVEL": "WARNING",
        "AMEBO_CONSOLE": "False",
        "AMEBO_RATE_LIMIT": "5",
        "AMEBO_KEYS_RETENTION": "1.5",
        "AMEBO_TRUSTED_PROXIES": "10.1.2.3/8",
    }
    chosen = settings.load({}, environment, tmp_path)
    assert (chosen.log_level, chosen.console, chosen.rate_limit, chosen.keys_retention) == ("warning", False, 5, 1.5)
    assert [str(network) for network in chosen.trusted_proxies] == ["10.0.0.0/8"]


def test_the_rest_follows_from_what_is_set() -> None:
    assert (Settings(threads=4).pool_size, Settings(threads=4, pool=3).pool_size) == (6, 3)
    assert (Settings(envelope=64).places_at_once, Settings(envelope=64, places=70).places_at_once) == (128, 70)


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
    shown = settings.shown(settings.load({"read_dsn": "host=db2 password=x"}, environment, tmp_path))
    assert shown["AMEBO_READ_DSN"] == "********"
    assert (shown["AMEBO_DSN"], shown["AMEBO_SECRET"], shown["AMEBO_PASSWORD"]) == ("********", "********", "")
    assert shown["AMEBO_USERNAME"] == "admin"
    assert (shown["AMEBO_CONSOLE"], shown["AMEBO_TRUSTED_PROXIES"]) == ("true", "127.0.0.0/8,::1/128")


def test_what_is_shown_is_taken_again(tmp_path: Path) -> None:
    shown = settings.shown(Settings())
    assert settings.load({}, shown, tmp_path) == Settings()


def test_a_repr_shows_no_secret() -> None:
    dsn = "host=db password=hidden"
    shown = repr(Settings(dsn=dsn, read_dsn=dsn, secret="hidden" * 6, password="hidden"))
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


def test_a_malformed_dsn_of_the_replica_is_not_quoted_either(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AMEBO_READ_DSN is malformed") as refusal:
        settings.load({}, {"AMEBO_READ_DSN": "postgresql://u:zzcret/1@h/db"}, tmp_path)
    assert "zzcret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


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
