"""What can go wrong for an operator: each error says what, where, and what to do next."""


class FleetError(Exception):
    """An error for the operator to read: printed as it stands, without a traceback, and ops.py exits with 1."""


class PlanRefused(FleetError):
    """The change was refused before any host was touched."""


class ReleaseExists(FleetError):
    """A release of this version was built before, from other sources."""


class HostUnreachable(FleetError):
    """A host did not answer over SSH."""


class StepFailed(FleetError):
    """A step of a running change failed, on `hosts` if it is known; what was already done stays done."""

    def __init__(self, message: str, hosts: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.hosts = hosts


class LabError(FleetError):
    """The lab cannot do what was asked of it on this machine."""
