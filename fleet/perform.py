"""Do a plan, step by step; stop at the first failure and say what is done, failed and untouched."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from fleet.effects import ansible, retirement, ssh, traffic
from fleet.effects import inventory as inventories
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from fleet.interlock import Change
from fleet.model import (
    Balance,
    Check,
    Failed,
    Fleet,
    Instance,
    Keep,
    Migrate,
    Observed,
    Record,
    RecordPorts,
    Replace,
    ReplaceDispatchers,
    Report,
    Retire,
    Shift,
    Smoke,
    Soak,
    Stage,
    State,
    Step,
    Stop,
    SwitchDispatchers,
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


Undo = Callable[[Fleet, Step], tuple[Step, ...]]
"""The fleet after a failure, the step that failed → what takes the change back; `()` to leave everything as it is."""


@dataclass
class _Run:
    inventory: Inventory
    progress: Progress
    change: Change | None
    timed: list[Timed] = field(default_factory=list)


def do(steps: tuple[Step, ...], inventory: Inventory, progress: Progress, change: Change | None = None) -> None:
    """Perform the steps in order, each a line in the journal; raises StepFailed at the first that fails."""
    _, failure = _perform_until_failure(_Run(inventory, progress, change), steps)
    if failure:
        raise failure


def perform(
    steps: tuple[Step, ...],
    version: str,
    inventory: Inventory,
    policy: rolling.Policy,
    progress: Progress,
    *,
    change: Change | None = None,
    undo: Undo | None = None,
) -> Report:
    """Perform the steps in order, each a line in the journal of `change`.

    The report is made from a fresh look at the fleet, not from what was hoped for. After a failure what is unwell
    leaves service, or, with `undo`, the change is taken back.
    """
    run = _Run(inventory, progress, change)
    began = time.monotonic()
    step, failure = _perform_until_failure(run, steps)
    report = _report(run, version, step, failure, policy.skip_hosts)
    if failure and undo and step:
        report = _undone(run, report, undo(observe(inventory), step))
    elif failure:
        report = replace(report, taken_out=_take_out(run, observe(inventory), report.failed, policy))
    return replace(report, steps=tuple(run.timed), seconds=time.monotonic() - began)


def _undone(run: _Run, report: Report, steps: tuple[Step, ...]) -> Report:
    """What fails in the way back is said, too; it ends there."""
    if not steps:
        return report
    step, failure = _perform_until_failure(run, steps)
    error = (
        f"{report.error}\nand taking it back failed: {describe(step)}: {failure}" if failure and step else report.error
    )
    return replace(report, undone=tuple(steps), error=error)


def _perform_until_failure(run: _Run, steps: tuple[Step, ...]) -> tuple[Step | None, StepFailed | None]:
    """The step that failed, or the last one, where there is one."""
    for number, step in enumerate(steps, start=1):
        run.progress.step(number, len(steps), step)
        try:
            _timed(run, step)
        except StepFailed as failure:
            return step, failure
    return (steps[-1] if steps else None), None


def _timed(run: _Run, step: Step) -> None:
    started = time.monotonic()
    _write(run, step, "begun")
    try:
        _do(run, step)
    except StepFailed as failure:
        _write(run, step, f"failed: {str(failure).partition(chr(10))[0]}")
        raise
    _write(run, step, "done")
    timed = Timed(step, time.monotonic() - started)
    run.timed.append(timed)
    run.progress.ended(timed)


def _write(run: _Run, step: Step, result: str) -> None:
    if run.change:
        run.change.step(describe(step), result)


def _do(run: _Run, step: Step) -> None:  # noqa: C901  # a case a step
    match step:
        case Check(version, hosts):
            _play(run, ansible.Play("precheck", {"amebo_version": version}, hosts))
        case Stage(version, hosts):
            _play(run, ansible.Play("stage", {"amebo_version": version}, hosts))
        case Migrate(version, host):
            _play(run, ansible.Play("migrate", {"amebo_version": version, "amebo_migrate_host": host}))
        case Replace(version, instances):
            batch: dict[str, list[int]] = {}
            for instance in instances:
                batch.setdefault(instance.host, []).append(instance.port)
            _play(run, ansible.Play("replace", {"amebo_version": version, "amebo_replace": batch}, tuple(batch)))
        case Soak():
            _soak(run, step)
        case ReplaceDispatchers(version, host):
            _play(run, ansible.Play("dispatchers", {"amebo_version": version}, (host,)))
        case Smoke(version, instances):
            traffic.smoke(run.inventory, version, instances)
        case Shift(green, load_balancers):
            traffic.change(run.inventory, load_balancers, {"green": green})
        case SwitchDispatchers(version, hosts):
            _play(run, ansible.Play("switch-dispatchers", {"amebo_version": version}, hosts))
        case Keep(instances):
            retirement.cancel(run.inventory, instances)
        case Retire(instances, seconds):
            retirement.arrange(run.inventory, instances, seconds)
        case Record(version):
            _play(run, ansible.Play("record", {"amebo_version": version}))
        case RecordPorts(hosts):
            ports = {host.name: host.web_ports for host in hosts}
            _play(run, ansible.Play("record-ports", {"amebo_scaled_ports": ports}))
            run.inventory = inventories.read()
        case Balance(load_balancers):
            _play(run, ansible.Play("balance", {}, load_balancers))
        case Stop(instances):
            retirement.stop(run.inventory, instances)
        case _:
            assert_never(step)


def _play(run: _Run, play: ansible.Play) -> None:
    result = ansible.run(play, on_task=run.progress.task)
    if not result.ok:
        message = "\n".join(f"{f.host}: {f.task}: {f.message}".lstrip(": ") for f in result.failures)
        raise StepFailed(message, frozenset(f.host for f in result.failures))


def _soak(run: _Run, step: Soak) -> None:
    """Look at once and then every second, so that a release that turns bad is seen within the soak."""
    until = time.monotonic() + step.seconds
    while True:
        fleet = observe(run.inventory)
        found = (o for o in (*fleet.instances, *fleet.idle) if o.what in step.instances)  # whatever has the traffic now
        unwell = [o for o in found if not o.is_ready_on(step.version)]
        if unwell:
            message = "\n".join(f"{o.what}, after its update: {_why(o)}" for o in unwell)
            raise StepFailed(message, frozenset(o.what.host for o in unwell))
        if time.monotonic() >= until:
            return
        time.sleep(1)


def _report(run: _Run, version: str, step: Step | None, failure: StepFailed | None, skipped: frozenset[str]) -> Report:
    """Made from a fresh look: an update whose steps all went well can still have left an instance behind."""
    fleet = observe(run.inventory)
    concerned = step.instances if isinstance(step, Replace | Soak | Smoke) else ()
    found = (*fleet.instances, *(o for o in fleet.idle if failure and o.what in concerned))
    done = [o.what for o in found if o.is_ready_on(version)]
    rest = [o for o in found if o.what not in done and o.what.host not in skipped]
    failed = [o for o in rest if failure is None or (o.what in concerned and _is_unwell(o, failure))]
    known = {*done, *(o.what for o in failed)}
    return Report(
        version,
        done=tuple(done),
        failed=tuple(Failed(o.what, _why(o), _journal(run.inventory, o.what)) for o in failed),
        untouched=tuple(o.what for o in fleet.instances if o.what not in known),
        error=f"{describe(step)} failed: {failure}"
        if failure and step
        else "not every instance is ready"
        if failed
        else "",
    )


def _is_unwell(found: Observed[Instance], failure: StepFailed) -> bool:
    """Or its host is where the step failed."""
    return found.state is not State.READY or found.what.host in failure.hosts


def _why(found: Observed[Instance]) -> str:
    version = f" on {found.version}" if found.version else ""
    return f"{found.state.value}{version}" + (f": {found.detail}" if found.detail else "")


def _take_out(run: _Run, fleet: Fleet, failed: tuple[Failed, ...], policy: rolling.Policy) -> tuple[Instance, ...]:
    """Only what is unwell leaves service: where the handover failed before its end, the old slot still answers well."""
    names = {each.instance for each in failed}
    unwell = tuple(o.what for o in fleet.instances if o.what in names and o.state in (State.UNREADY, State.DRAINING))
    return tuple(i for i in rolling.take_out(fleet, unwell, policy) if _stop(run.inventory, i))


def _stop(inventory: Inventory, instance: Instance) -> bool:
    """For good: a reboot does not bring it back, the next update does."""
    try:
        retirement.stop(inventory, (instance,))
    except StepFailed:
        return False
    return True


def _journal(inventory: Inventory, instance: Instance) -> str:
    units = f"-u 'amebo-web-a@{instance.port}' -u 'amebo-web-b@{instance.port}'"
    command = f"sudo -n journalctl {units} -n 12 --no-pager -o short-iso"
    try:
        return ssh.run(instance.host, inventory.hosts[instance.host], command).stdout
    except HostUnreachable:
        return f"{instance.host} does not answer over SSH"
