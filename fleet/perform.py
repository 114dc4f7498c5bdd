"""Do a plan, step by step; stop at the first failure and say what is done, failed and untouched."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from fleet.effects import ansible, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from fleet.model import (
    Check,
    Failed,
    Fleet,
    Instance,
    Migrate,
    Record,
    Replace,
    ReplaceDispatchers,
    Report,
    Soak,
    Stage,
    State,
    Step,
    Timed,
)
from fleet.observe import observe
from fleet.plan import rolling
from fleet.show import describe


@dataclass(frozen=True)
class Progress:
    """Who hears how it goes: a step begins, a task of it begins, a step ended after so many seconds."""

    step: Callable[[int, int, Step], None] = lambda _number, _of, _step: None
    task: Callable[[str], None] = lambda _task: None
    ended: Callable[[Timed], None] = lambda _timed: None


@dataclass
class _Run:
    inventory: Inventory
    policy: rolling.Policy
    progress: Progress
    timed: list[Timed] = field(default_factory=list)


def perform(
    steps: tuple[Step, ...], version: str, inventory: Inventory, policy: rolling.Policy, progress: Progress
) -> Report:
    """Perform the steps in order. The report is made from a fresh look at the fleet, not from what was hoped for."""
    run = _Run(inventory, policy, progress)
    started = time.monotonic()
    current: Step | None = None
    try:
        for number, current in enumerate(steps, start=1):
            progress.step(number, len(steps), current)
            _timed(run, current)
    except StepFailed as error:
        assert current is not None  # noqa: S101  # a step raised it
        return _failure(run, version, current, str(error), started)
    fleet = observe(inventory)
    done = tuple(o.what for o in fleet.instances if o.is_ready_on(version))
    rest = tuple(o.what for o in fleet.instances if o.what not in done)
    return Report(version, done, (), rest, steps=tuple(run.timed), seconds=time.monotonic() - started)


def _timed(run: _Run, step: Step) -> None:
    started = time.monotonic()
    _do(run, step)
    timed = Timed(step, time.monotonic() - started)
    run.timed.append(timed)
    run.progress.ended(timed)


def _do(run: _Run, step: Step) -> None:
    match step:
        case Check(version, hosts):
            _play(run, ansible.Play("precheck", {"amebo_version": version}, hosts))
        case Stage(version, hosts):
            _play(run, ansible.Play("stage", {"amebo_version": version}, hosts))
        case Migrate(version):
            _play(run, ansible.Play("migrate", {"amebo_version": version}))
        case Replace(version, instances):
            ports: dict[str, list[int]] = {}
            for instance in instances:
                ports.setdefault(instance.host, []).append(instance.port)
            _play(run, ansible.Play("replace", {"amebo_version": version, "amebo_replace": ports}, tuple(ports)))
        case Soak():
            _soak(run, step)
        case ReplaceDispatchers(version, host):
            _play(run, ansible.Play("dispatchers", {"amebo_version": version}, (host,)))
        case Record(version):
            _play(run, ansible.Play("record", {"amebo_version": version}))
        case _:
            assert_never(step)


def _play(run: _Run, play: ansible.Play) -> None:
    result = ansible.run(play, on_task=run.progress.task)
    if not result.ok:
        raise StepFailed("\n".join(f"{f.host}: {f.task}: {f.message}".lstrip(": ") for f in result.failures))


def _soak(run: _Run, step: Soak) -> None:
    """Look at once and then every second, so that a release that turns bad is seen within the soak."""
    until = time.monotonic() + step.seconds
    while True:
        unwell = [
            o for o in observe(run.inventory).instances if o.what in step.instances and not o.is_ready_on(step.version)
        ]
        if unwell:
            raise StepFailed(
                "\n".join(f"{o.what} is {o.state.value} on {o.version} after its update: {o.detail}" for o in unwell)
            )
        if time.monotonic() >= until:
            return
        time.sleep(1)


def _failure(run: _Run, version: str, step: Step, error: str, started: float) -> Report:
    fleet = observe(run.inventory)
    done = tuple(o.what for o in fleet.instances if o.is_ready_on(version))
    suspects = tuple(i for i in _concerned(step) if i not in done)
    return Report(
        version,
        done=done,
        failed=tuple(Failed(i, _why(fleet, i), _journal(run.inventory, i)) for i in suspects),
        untouched=tuple(o.what for o in fleet.instances if o.what not in (*done, *suspects)),
        taken_out=_take_out(run, fleet, suspects),
        steps=tuple(run.timed),
        error=f"{describe(step)} failed: {error}",
        seconds=time.monotonic() - started,
    )


def _concerned(step: Step) -> tuple[Instance, ...]:
    return step.instances if isinstance(step, Replace | Soak) else ()


def _why(fleet: Fleet, instance: Instance) -> str:
    found = next(o for o in fleet.instances if o.what == instance)
    version = f" on {found.version}" if found.version else ""
    return f"{found.state.value}{version}" + (f": {found.detail}" if found.detail else "")


def _take_out(run: _Run, fleet: Fleet, suspects: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Only what is unwell leaves service: where the handover failed before its end, the old slot still answers well."""
    unwell = {o.what for o in fleet.instances if o.state in (State.UNREADY, State.DRAINING)}
    chosen = rolling.take_out(fleet, tuple(i for i in suspects if i in unwell), run.policy)
    return tuple(i for i in chosen if _stop(run.inventory, i))


def _stop(inventory: Inventory, instance: Instance) -> bool:
    port = instance.port
    units = f"amebo-web@{port}.socket amebo-web-a@{port}.service amebo-web-b@{port}.service"
    return _on_host(inventory, instance, f"sudo -n systemctl stop {units}") is not None


def _journal(inventory: Inventory, instance: Instance) -> str:
    units = f"-u 'amebo-web-a@{instance.port}' -u 'amebo-web-b@{instance.port}'"
    lines = _on_host(inventory, instance, f"sudo -n journalctl {units} -n 12 --no-pager -o short-iso")
    return lines if lines is not None else f"{instance.host} does not answer over SSH"


def _on_host(inventory: Inventory, instance: Instance, command: str) -> str | None:
    try:
        return ssh.run(instance.host, inventory.hosts[instance.host], command).stdout
    except HostUnreachable:
        return None
