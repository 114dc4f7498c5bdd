"""What the guard tells about itself: metrics for Prometheus, its state for operators. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .model import Decision, Placed, State, Traffic, Watch

_NO_TRAFFIC = Traffic(0, {})
_NO_DECISION = Decision(())


@dataclass(frozen=True)
class Report:
    """The last turn: when, by the monotonic clock and by the wall's (0: there was none), and what has been counted."""

    traffic: Traffic = _NO_TRAFFIC
    decision: Decision = _NO_DECISION
    now: float = 0.0
    at: float = 0.0
    ejections: Mapping[tuple[str, str], int] = field(default_factory=dict)
    probe_failures: Mapping[str, int] = field(default_factory=dict)
    unreadable_lines: int = 0
    error: str = ""


def state(report: Report) -> dict[str, Any]:
    """As JSON: each instance with its state, since when and why; `error` when nginx could not be asked or told."""
    return {
        "at": _time(report.at) if report.at else None,
        "panic": report.decision.panic,
        "error": report.error,
        "green": report.traffic.green,
        "instances": {
            address: {
                "colour": placed.colour,
                "serves": report.traffic.serves(placed.colour),
                "state": watch.state.label,
                "why": watch.why,
                "since": _time(report.at - report.now + watch.since),
                "weight": placed.weight,
                "by": placed.by,
                "failed_probes": watch.failing,
                "ejections": watch.ejections,
            }
            for address, (placed, watch) in _instances(report).items()
        },
    }


def metrics(report: Report) -> str:
    """In Prometheus' text format."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    instances = _instances(report)
    yield from _head("amebo_guard_state", "gauge", "0: in service, 1: on its way back, 2: out of service.")
    for address, (placed, watch) in instances.items():
        yield f"amebo_guard_state{_labels(instance=address, colour=placed.colour)} {watch.state.value}"
    yield from _head("amebo_guard_ejections_total", "counter", "How often the guard took an instance out.")
    for (address, why), number in report.ejections.items():
        yield f"amebo_guard_ejections_total{_labels(instance=address, why=why)} {number}"
    yield from _head("amebo_guard_probe_failures_total", "counter", "Probes that did not find an instance ready.")
    for address in instances:
        yield f"amebo_guard_probe_failures_total{_labels(instance=address)} {report.probe_failures.get(address, 0)}"
    for name, kind, text, value in (
        ("panic", "gauge", "1 while a bad instance is kept, for want of better ones.", int(report.decision.panic)),
        ("last_turn_timestamp_seconds", "gauge", "When the guard last looked and decided.", report.at),
        ("unreadable_lines_total", "counter", "Lines of the access log that are no JSON.", report.unreadable_lines),
    ):
        yield from _head(f"amebo_guard_{name}", kind, text)
        yield f"amebo_guard_{name} {value}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _instances(report: Report) -> dict[str, tuple[Placed, Watch]]:
    watches = report.decision.watches
    return {a: (placed, watches[a]) for a, placed in sorted(report.traffic.instances.items()) if a in watches}


def summary(report: Report) -> str:
    """A line for systemctl status."""
    if report.error:
        return report.error
    states = [watch.state for watch in report.decision.watches.values()]
    parts = [f"{states.count(each)} {each.label}" for each in State if each in states]
    return ", ".join(parts) + (", in panic" if report.decision.panic else "")


def _labels(**values: str) -> str:
    pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in values.items())
    return f"{{{pairs}}}"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
