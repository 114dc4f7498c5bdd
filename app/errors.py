"""What can go wrong for a caller: one class for each thing that callers treat differently."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Violation:
    """One reason why an input was refused; `field` is a dotted path into it."""

    field: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class AmeboError(Exception):
    """An error whose message may be shown to whoever called."""

    def __init__(self, message: str, details: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Malformed(AmeboError):
    """The request cannot be read: not JSON, or a parameter that makes no sense."""


class Unauthenticated(AmeboError):
    """There are no credentials, or wrong ones."""


class Forbidden(AmeboError):
    """The credentials are good, but not for this."""


class NotFound(AmeboError):
    """There is no such thing."""


class Conflict(AmeboError):
    """It contradicts what is already there."""


class TooLarge(AmeboError):
    """The body exceeds the limit of its route."""


class NotJson(AmeboError):
    """The body has another content type."""


class Invalid(AmeboError):
    """The input can be read, but breaks a rule or a schema; `details` lists every violation."""


class TooMany(AmeboError):
    """Asked too often; `retry_after` seconds later it is worth another try."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(AmeboError):
    """It would work later: the database does not answer."""


class SettingsError(AmeboError):
    """A setting is missing, unknown or malformed; for the person who starts the process."""
