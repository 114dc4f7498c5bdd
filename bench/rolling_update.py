"""A rolling update of six instances on three hosts: seconds per instance, and where they go."""

import time
from dataclasses import dataclass, field

from rich.table import Table

from fleet.console import out
from fleet.effects.inventory import Inventory
from fleet.model import Replace, Soak, Step, Timed
from fleet.observe import observe
from fleet.perform import Progress, perform
from fleet.plan import rolling


@dataclass
class Clock:
    """Seconds by kind of step, and within the replacements by Ansible task."""

    steps: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, float] = field(default_factory=dict)
    _step: Step | None = None
    _task: str = "ansible-playbook starts"
    _since: float = 0.0

    def step(self, _number: int, _of: int, step: Step) -> None:
        """A step begins: Ansible starts."""
        self._step, self._task, self._since = step, "ansible-playbook starts", time.monotonic()

    def task(self, name: str) -> None:
        """A task begins, so the one before has ended."""
        now = time.monotonic()
        if isinstance(self._step, Replace):
            self.tasks[self._task] = self.tasks.get(self._task, 0.0) + now - self._since
        self._task, self._since = name, now

    def ended(self, timed: Timed) -> None:
        """A step ended, and its last task with it."""
        self.task("")
        kind = type(timed.step).__name__
        self.steps[kind] = self.steps.get(kind, 0.0) + timed.seconds


def measure(inventory: Inventory, version: str) -> dict[str, object]:
    """Perform one; the soak is a wait that the operator chooses, so it is told apart from the work."""
    policy = rolling.Policy(soak_seconds=0)
    fleet = observe(inventory)
    steps = rolling.plan(fleet, version, policy)
    clock = Clock()
    report = perform(steps, version, inventory, policy, Progress(clock.step, clock.task, clock.ended))
    if report.error:
        raise SystemExit(report.error)
    instances = len(fleet.instances)
    _show(clock, instances, report.seconds)
    return {
        "instances": instances,
        "seconds": round(report.seconds, 1),
        "seconds_per_instance": round(report.seconds / instances, 1),
        "seconds_per_replacement": round(clock.steps[Replace.__name__] / instances, 1),
        "by_step": _rounded(clock.steps),
        "within_replacements_by_task": _rounded(clock.tasks),
    }


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in sorted(seconds.items(), key=lambda item: -item[1])}


def _show(clock: Clock, instances: int, seconds: float) -> None:
    table = Table("where", "seconds", "per instance", title=f"Rolling update, {instances} instances", box=None)
    for name, value in _rounded(clock.steps).items():
        what = "looking (soak of 0 s)" if name == Soak.__name__ else name
        table.add_row(what, f"{value:.1f}", f"{value / instances:.2f}")
    for name, value in list(_rounded(clock.tasks).items())[:8]:
        table.add_row(f"  {name}", f"{value:.1f}", f"{value / instances:.2f}", style="dim")
    table.add_row("all", f"{seconds:.1f}", f"{seconds / instances:.2f}", style="bold")
    out.print(table)
