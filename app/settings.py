"""Settings: command line, then environment, then amebo.json, then defaults; read once, at the start."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.delivery.guard import Network
from app.errors import SettingsError
from app.storage.connection import is_well_formed

PREFIX = "AMEBO_"
EVERYWHERE: tuple[Network, ...] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))


@dataclass(frozen=True)
class Settings:
    """Every setting, by its name without AMEBO_ and in lower case."""

    dsn: str = field(default="", repr=False, metadata={"help": "PostgreSQL, as a URL or key=value", "secret": True})
    secret: str = field(
        default="", repr=False, metadata={"help": "signs tokens; 32 characters or more", "secret": True}
    )
    username: str = field(default="", metadata={"help": "the administrator's name"})
    password: str = field(
        default="", repr=False, metadata={"help": "the administrator's, or its argon2 hash", "secret": True}
    )
    host: str = field(default="0.0.0.0", metadata={"help": "address to listen on"})  # noqa: S104  # a server's default
    port: int = field(default=3310, metadata={"help": "port to listen on; systemd's sockets come first"})
    threads: int = field(default=8, metadata={"help": "requests at work at once; the pool has as many connections"})
    connections: int = field(default=1000, metadata={"help": "client connections at once"})
    envelope: int = field(default=256, metadata={"help": "gists claimed, and sent, at once"})
    idles: float = field(default=5.0, metadata={"help": "seconds between polls when idle; new work wakes at once"})
    rest_when: int = field(default=0, metadata={"help": "rest when a claim brings fewer gists than this"})
    lease: float = field(default=90.0, metadata={"help": "seconds until a dead dispatcher's gists are due again"})
    allow_private_handlers: tuple[Network, ...] = field(
        default=(), metadata={"help": "true, false, or private networks to deliver to: 10.0.0.0/8,fd00::/8"}
    )
    instance: str = field(default="", metadata={"help": "this process' name in health, logs and metrics"})
    status_socket: str = field(default="", metadata={"help": "path of a unix socket with health and metrics"})
    drain_timeout: float = field(default=30.0, metadata={"help": "seconds that a stopping process may take"})
    token_lifetime: float = field(default=3600.0, metadata={"help": "seconds that a token from /v1/tokens is good"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})
    service_role: str = field(default="amebo_service", metadata={"help": "role that migrate lets read and write"})
    reader_role: str = field(default="amebo_reader", metadata={"help": "role that migrate lets read, but no secrets"})


def load(overrides: Mapping[str, str], environment: Mapping[str, str], folder: Path) -> Settings:
    """Put the sources together; raises SettingsError that names what is unknown or malformed, and where."""
    raw = {**_from_file(environment, folder), **_from_environment(environment), **overrides}
    return Settings(**{name: _parse(name, str(value)) for name, value in raw.items()})


def require(settings: Settings, *names: str) -> None:
    """Refuse to start without these."""
    missing = [f"{PREFIX}{name.upper()}" for name in names if not getattr(settings, name)]
    if missing:
        raise SettingsError(f"{', '.join(missing)} must be set, in the environment or in amebo.json")
    if "secret" in names and len(settings.secret) < 32:
        raise SettingsError("AMEBO_SECRET must have 32 characters or more; try: openssl rand -hex 32")


def shown(settings: Settings) -> dict[str, str]:
    """Every setting as text, by its full name, secrets masked."""
    return {
        f"{PREFIX}{each.name.upper()}": _show(each.metadata, getattr(settings, each.name)) for each in fields(settings)
    }


def _from_file(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    path = Path(environment.get("AMEBO_CONFIG") or folder / "amebo.json")
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold one JSON object of settings")
    unknown = sorted(name for name in content if _name(name) is None)
    if unknown:
        raise SettingsError(f"{path} has unknown settings: {', '.join(unknown)}; see python -m app config show")
    return {str(_name(name)): value for name, value in content.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Unknown names are left alone: other tools have AMEBO_ variables, too."""
    return {name: value for key, value in environment.items() if (name := _name(key)) is not None and value != ""}


def _name(key: str) -> str | None:
    name = key.removeprefix(PREFIX).lower()
    return name if key == f"{PREFIX}{name.upper()}" and any(name == each.name for each in fields(Settings)) else None


def _parse(name: str, value: str) -> Any:  # noqa: ANN401  # each setting has a type of its own
    kind = next(each.type for each in fields(Settings) if each.name == name)
    try:
        if name == "allow_private_handlers":
            return _networks(value)
        if name == "dsn":
            return _dsn(value)
        if kind in (int, float):
            return _positive(kind(value))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{PREFIX}{name.upper()} cannot be {value!r}: {error}") from error
    return value


def _networks(text: str) -> tuple[Network, ...]:
    if text.lower() in ("true", "1", "yes"):
        return EVERYWHERE
    if text.lower() in ("false", "0", "no", ""):
        return ()
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))


def _dsn(text: str) -> str:
    """Refused without a word of it, because libpq's own errors quote what may be the password."""
    if not is_well_formed(text):
        raise SettingsError("AMEBO_DSN is malformed; in a URL, write what is special in a password as %40, %2F, %25")
    return text


def _positive(number: float) -> float:
    if not 0 <= number < float("inf"):
        raise ValueError("it must be a number, zero or more")
    return number


def _show(metadata: Mapping[str, Any], value: object) -> str:
    if metadata.get("secret"):
        return "********" if value else ""
    if isinstance(value, tuple):
        return "true" if value == EVERYWHERE else ",".join(map(str, value)) or "false"
    return str(value)
