"""Settings: command line, then environment, then amebo.json, then defaults; read once, at the start."""

import difflib
import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from app.delivery.guard import Network
from app.errors import SettingsError
from app.storage.connection import is_well_formed

PREFIX = "AMEBO_"
EVERYWHERE: tuple[Network, ...] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))
LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
NOT_SETTINGS = frozenset(  # names of ours that mean something before there are settings, or to another command
    {"AMEBO_CONFIG", "AMEBO_WEBHOOK_SECRET", "AMEBO_VAULT_PASSWORD_FILE", "AMEBO_LAB_CACHE"}
)
READING = 8  # requests that read at once; those that publish share a commit and its connection
SPARE = 2  # connections beside, so that health is answered when all the others are at work
YES, NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class Settings:
    """Every setting, by its name without AMEBO_ and in lower case. A number is at least 0 where no least is said."""

    dsn: str = field(default="", repr=False, metadata={"help": "PostgreSQL, as a URL or key=value", "secret": True})
    read_dsn: str = field(
        default="", repr=False, metadata={"help": "a replica that lists are read from; none: AMEBO_DSN", "secret": True}
    )
    pool: int = field(
        default=0,
        metadata={"help": "connections to the database of a web process; 0: one a thread up to 8, and 2", "most": 1000},
    )
    secret: str = field(
        default="", repr=False, metadata={"help": "signs tokens; 32 characters or more", "secret": True}
    )
    username: str = field(default="", metadata={"help": "the administrator's name"})
    password: str = field(
        default="", repr=False, metadata={"help": "the administrator's, or its argon2 hash", "secret": True}
    )
    token_lifetime: float = field(
        default=3600.0, metadata={"help": "seconds that a token from /v1/tokens is good", "least": 1}
    )
    login_failures: int = field(
        default=10,
        metadata={"help": "failed sign-ins of an address or a name in 5 minutes until it is refused", "least": 1},
    )
    host: str = field(default="0.0.0.0", metadata={"help": "address to listen on"})  # noqa: S104  # a server's default
    port: int = field(default=3310, metadata={"help": "port to listen on; systemd's sockets come first", "most": 65535})
    threads: int = field(default=16, metadata={"help": "requests at work at once", "least": 1, "most": 1000})
    connections: int = field(default=1000, metadata={"help": "client connections at once", "least": 1})
    trusted_proxies: tuple[Network, ...] = field(
        default=LOOPBACK, metadata={"help": "networks whose X-Forwarded-For is believed, or false for none"}
    )
    rate_limit: int = field(default=0, metadata={"help": "requests a second of one credential; 0: no limit"})
    rate_limit_address: int = field(
        default=0, metadata={"help": "requests a second of one client address; 0: no limit"}
    )
    console: bool = field(default=True, metadata={"help": "serve the console at /"})
    commit_window: float = field(
        default=2.0, metadata={"help": "milliseconds that a publish waits for others to share its commit", "most": 1000}
    )
    commit_most: int = field(
        default=64, metadata={"help": "publishes that share one commit, at most", "least": 1, "most": 1000}
    )
    keys_retention: float = field(
        default=7.0, metadata={"help": "days that an idempotency key is remembered", "least": 0.01, "most": 3650}
    )
    dispatchers: int = field(
        default=1, metadata={"help": "delivery processes of python -m app dispatcher", "least": 1, "most": 64}
    )
    envelope: int = field(default=256, metadata={"help": "gists claimed at once", "least": 1, "most": 10000})
    places: int = field(
        default=0, metadata={"help": "deliveries under way at once; 0: twice the envelope", "most": 100000}
    )
    idles: float = field(
        default=5.0, metadata={"help": "seconds between polls when idle; new work wakes at once", "least": 0.1}
    )
    rest_when: int = field(default=0, metadata={"help": "rest when fewer gists than this are due"})
    lease: float = field(
        default=90.0, metadata={"help": "seconds until a dead dispatcher's gists are due again", "least": 1}
    )
    delivery_timeout: float = field(
        default=30.0, metadata={"help": "seconds that a handler has to answer", "least": 0.1, "most": 3600}
    )
    allow_private_handlers: tuple[Network, ...] = field(
        default=(), metadata={"help": "true, false, or private networks to deliver to: 10.0.0.0/8,fd00::/8"}
    )
    instance: str = field(default="", metadata={"help": "this process' name in health, logs and metrics"})
    status_socket: str = field(
        default="", metadata={"help": "path of a unix socket, or host:port, with health and metrics"}
    )
    drain_timeout: float = field(default=30.0, metadata={"help": "seconds that a stopping process may take"})
    log_level: str = field(
        default="info", metadata={"help": "what is logged", "one of": ("debug", "info", "warning", "error")}
    )
    log_format: str = field(default="text", metadata={"help": "lines for people or JSON", "one of": ("text", "json")})
    service_role: str = field(default="amebo_service", metadata={"help": "role that migrate lets read and write"})
    reader_role: str = field(default="amebo_reader", metadata={"help": "role that migrate lets read, but no secrets"})

    @property
    def pool_size(self) -> int:
        """Connections to the database of a web process."""
        return self.pool or min(self.threads, READING) + SPARE

    @property
    def places_at_once(self) -> int:
        """Deliveries under way at once in one dispatcher."""
        return self.places or 2 * self.envelope


FIELDS: dict[str, Field[Any]] = {f"{PREFIX}{each.name.upper()}": each for each in fields(Settings)}


def load(overrides: Mapping[str, str], environment: Mapping[str, str], folder: Path) -> Settings:
    """Put the sources together; raises SettingsError that names what is unknown or malformed, and where."""
    path = _file(environment, folder)
    in_file = _read(path)
    in_environment = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    _refuse_unknown({"the environment": in_environment.keys() - NOT_SETTINGS, str(path): in_file})
    raw = {**in_file, **{name: value for name, value in in_environment.items() if value and name in FIELDS}}
    raw.update({f"{PREFIX}{name.upper()}": value for name, value in overrides.items()})
    return Settings(**{FIELDS[name].name: _parse(name, value) for name, value in raw.items()})


def require(settings: Settings, *names: str) -> None:
    """Refuse to start without these."""
    missing = [f"{PREFIX}{name.upper()}" for name in names if not getattr(settings, name)]
    if missing:
        raise SettingsError(f"{', '.join(missing)} must be set, in the environment or in amebo.json")
    if "secret" in names and len(settings.secret) < 32:
        raise SettingsError("AMEBO_SECRET must have 32 characters or more; try: openssl rand -hex 32")


def shown(settings: Settings) -> dict[str, str]:
    """Every setting as text, by its full name, secrets masked."""
    return {name: _show(each.metadata, getattr(settings, each.name)) for name, each in FIELDS.items()}


def _file(environment: Mapping[str, str], folder: Path) -> Path:
    named = environment.get("AMEBO_CONFIG")
    if named and not Path(named).exists():
        raise SettingsError(f"AMEBO_CONFIG names {named}, which does not exist")
    return Path(named or folder / "amebo.json")


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold one JSON object of settings")
    for name, value in content.items():
        if not isinstance(value, str | int | float):
            raise SettingsError(f"{name} in {path} must be a string, a number, true or false")
    return {name: str(value) for name, value in content.items()}


def _refuse_unknown(sources: Mapping[str, Iterable[str]]) -> None:
    """All of them in one error, each with what was meant, so that one run tells everything."""
    unknown = [
        f"{name}{_meant(name)} in {where}"
        for where, names in sources.items()
        for name in sorted(set(names) - FIELDS.keys())
    ]
    if unknown:
        raise SettingsError(f"unknown settings: {'; '.join(unknown)}; docs/service.md lists all that there are")


def _meant(name: str) -> str:
    full = name.upper() if name.upper().startswith(PREFIX) else f"{PREFIX}{name.upper()}"
    close = difflib.get_close_matches(full, FIELDS, n=1, cutoff=0.75)
    return f" (is {close[0]} meant?)" if close else ""


def _parse(name: str, text: str) -> Any:  # noqa: ANN401  # each setting has a type of its own
    each = FIELDS[name]
    try:
        if each.name in ("dsn", "read_dsn"):
            return _dsn(text)
        if each.name == "status_socket":
            return _status_socket(text)
        if each.type in (int, float):
            return _number(each, text)
        if each.type is bool:
            return _yes_or_no(text)
        if each.type == tuple[Network, ...]:
            return _networks(text)
        return _one_of(each, text) if "one of" in each.metadata else text
    except ValueError as error:
        if each.metadata.get("secret"):  # neither the value nor an error that may quote it
            raise SettingsError(f"{name} is malformed; {error}") from None
        raise SettingsError(f"{name} cannot be {text!r}: {error}") from error


def _dsn(text: str) -> str:
    """Refused without a word of it, because libpq's own errors quote what may be the password."""
    if not is_well_formed(text):
        raise ValueError("in a URL, write what is special in a password as %40, %2F, %25")
    return text


def _status_socket(text: str) -> str:
    _, colon, port = text.rpartition(":")
    if colon and "/" not in text and not (port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError("it must be a path, or host:port with a port from 1 to 65535")
    return text


def _number(each: Field[Any], text: str) -> float:
    least, most = each.metadata.get("least", 0), each.metadata.get("most", float("inf"))
    try:
        number = int(text) if each.type is int else float(text)
    except ValueError:
        raise ValueError("it must be a whole number" if each.type is int else "it must be a number") from None
    if not least <= number <= most or number == float("inf"):
        raise ValueError(f"it must be {least} or more" if most == float("inf") else f"it must be {least} to {most}")
    return number


def _yes_or_no(text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ValueError("it must be true or false")
    return text.lower() in YES


def _networks(text: str) -> tuple[Network, ...]:
    if text.lower() in YES:
        return EVERYWHERE
    if text.lower() in (*NO, ""):
        return ()
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))


def _one_of(each: Field[Any], text: str) -> str:
    if text.lower() not in each.metadata["one of"]:
        raise ValueError(f"it must be one of {', '.join(each.metadata['one of'])}")
    return text.lower()


def _show(metadata: Mapping[str, Any], value: object) -> str:
    if metadata.get("secret"):
        return "********" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "true" if value == EVERYWHERE else ",".join(map(str, value)) or "false"
    return str(value)
