"""Settings: one JSON file, read once, at the start; what it does not name has its default."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .model import FULL, Policy


class SettingsError(Exception):
    """A setting that is unknown or does not fit, in words for whoever wrote it."""


@dataclass(frozen=True)
class Settings:
    """Where nginx is asked and told, where its log is, where the guard answers, and what it goes by."""

    traffic: str = "127.0.0.1:8405"
    access_log: str = "/var/log/nginx/access.log"
    listen: str = "127.0.0.1:9405"
    policy: Policy = field(default_factory=Policy)


def load(path: Path) -> Settings:
    """Raises SettingsError, and OSError where there is no file."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path} is not an object")
    policy = _policy(found.pop("policy", {}))
    _refuse_unknown(found, {each.name for each in fields(Settings)}, "setting")
    if wrong := [name for name, value in found.items() if not isinstance(value, str)]:
        raise SettingsError(f"{', '.join(wrong)}: text is wanted")
    settings = Settings(**found, policy=policy)
    for name in ("traffic", "listen"):
        _refuse(name, getattr(settings, name), getattr(settings, name).rpartition(":")[2].isdigit(), "address:port")
    return settings


def _policy(found: Any) -> Policy:  # noqa: ANN401  # JSON from outside
    if not isinstance(found, dict):
        raise SettingsError("policy is not an object")
    _refuse_unknown(found, {each.name for each in fields(Policy)}, "part of the policy")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    policy = Policy(**values)
    for each in fields(Policy):
        _refuse_wrong(each.name, getattr(policy, each.name), each.default)
    _refuse("kept", policy.kept, 0.5 <= policy.kept <= 1, "from 0.5 to 1, at least half stays in service")
    _refuse("interval", policy.interval, policy.interval <= 5, "at most 5 seconds, or systemd takes it for dead")
    for name in ("failed_share", "others_share"):
        _refuse(name, getattr(policy, name), getattr(policy, name) <= 1, "at most 1")
    rising = list(policy.weights) == sorted(set(policy.weights)) and policy.weights[-1] == FULL
    _refuse("weights", policy.weights, rising, "percents that rise to 100")
    return policy


def _refuse_wrong(name: str, value: object, usual: object) -> None:
    """A number where the default is one, a list of numbers where it is a list; positive, but for what 0 turns off."""
    if isinstance(usual, tuple):
        numbers = value if isinstance(value, tuple) else ()
        fits = bool(numbers) and all(_is_number(number, usual[0]) and number > 0 for number in numbers)
        _refuse(name, value, fits, "a list of positive numbers")
    else:
        fits = _is_number(value, usual) and (value > 0 or (value == 0 and name in _MAY_BE_0))  # type: ignore[operator]  # a number
        _refuse(name, value, fits, "a number of 0 or more" if name in _MAY_BE_0 else "a positive number")


_MAY_BE_0 = frozenset({"slow_factor", "slow_floor", "others_share", "wait"})


def _is_number(value: object, usual: object) -> bool:
    wanted = (int,) if isinstance(usual, int) else (int, float)
    return isinstance(value, wanted) and not isinstance(value, bool)


def _refuse_unknown(found: Mapping[str, object], known: set[str], what: str) -> None:
    if unknown := sorted(found.keys() - known):
        raise SettingsError(f"no {what} is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def _refuse(name: str, value: object, fits: bool, wanted: str) -> None:
    if not fits:
        raise SettingsError(f"{name} is {value!r}; wanted: {wanted}")
