"""Do a plan, step by step; stop at the first failure and say what is done, failed and untouched."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    Observed,
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
    began = time.monotonic()
    step, failure = _perform_until_failure(run, steps)
    report = _report(run, version, step, failure)
    return replace(report, steps=tuple(run.timed), seconds=time.monotonic() - began)


def _perform_until_failure(run: _Run, steps: tuple[Step, ...]) -> tuple[Step, StepFailed | None]:
    """The step that failed, or the last one."""
    for number, step in enumerate(steps, start=1):
        run.progress.step(number, len(steps), step)
        try:
            _timed(run, step)
        except StepFailed as failure:
            return step, failure
    return steps[-1], None


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
        case Migrate(version, host):
            _play(run, ansible.Play("migrate", {"amebo_version": version, "amebo_migrate_host": host}))
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
        message = "\n".join(f"{f.host}: {f.task}: {f.message}".lstrip(": ") for f in result.failures)
        raise StepFailed(message, frozenset(f.host for f in result.failures))


def _soak(run: _Run, step: Soak) -> None:
    """Look at once and then every second, so that a release that turns bad is seen within the soak."""
    until = time.monotonic() + step.seconds
    while True:
        unwell = [
            o for o in observe(run.inventory).instances if o.what in step.instances and not o.is_ready_on(step.version)
        ]
        if unwell:
            message = "\n".join(f"{o.what}, after its update: {_why(o)}" for o in unwell)
            raise StepFailed(message, frozenset(o.what.host for o in unwell))
        if time.monotonic() >= until:
            return
        time.sleep(1)


def _report(run: _Run, version: str, step: Step, failure: StepFailed | None) -> Report:
    """Made from a fresh look: an update whose steps all went well can still have left an instance behind."""
    fleet = observe(run.inventory)
    done = [o.what for o in fleet.instances if o.is_ready_on(version)]
    rest = [o for o in fleet.instances if o.what not in done and o.what.host not in run.policy.skip_hosts]
    failed = [o for o in rest if failure is None or _has_failed(o, step, failure)]
    known = {*done, *(o.what for o in failed)}
    return Report(
        version,
        done=tuple(done),
        failed=tuple(Failed(o.what, _why(o), _journal(run.inventory, o.what)) for o in failed),
        untouched=tuple(o.what for o in fleet.instances if o.what not in known),
        taken_out=_take_out(run, fleet, tuple(failed)) if failure else (),
        error=f"{describe(step)} failed: {failure}" if failure else "not every instance is ready" if failed else "",
    )


def _has_failed(found: Observed[Instance], step: Step, failure: StepFailed) -> bool:
    """It was to be on the release, and it is unwell or its host is where the step failed."""
    concerned = step.instances if isinstance(step, Replace | Soak) else ()
    return found.what in concerned and (found.state is not State.READY or found.what.host in failure.hosts)


def _why(found: Observed[Instance]) -> str:
    version = f" on {found.version}" if found.version else ""
    return f"{found.state.value}{version}" + (f": {found.detail}" if found.detail else "")


def _take_out(run: _Run, fleet: Fleet, failed: tuple[Observed[Instance], ...]) -> tuple[Instance, ...]:
    """Only what is unwell leaves service: where the handover failed before its end, the old slot still answers well."""
    unwell = tuple(o.what for o in failed if o.state in (State.UNREADY, State.DRAINING))
    return tuple(i for i in rolling.take_out(fleet, unwell, run.policy) if _stop(run.inventory, i))


def _stop(inventory: Inventory, instance: Instance) -> bool:
    """For good: a reboot does not bring it back, the next update does."""
    port = instance.port
    units = f"amebo-web@{port}.socket amebo-web-a@{port}.service amebo-web-b@{port}.service"
    stopped = _on_host(inventory, instance, f"sudo -n systemctl disable --now {units}", timeout=60)
    return stopped is not None and stopped.code == 0


def _journal(inventory: Inventory, instance: Instance) -> str:
    units = f"-u 'amebo-web-a@{instance.port}' -u 'amebo-web-b@{instance.port}'"
    read = _on_host(inventory, instance, f"sudo -n journalctl {units} -n 12 --no-pager -o short-iso")
    return read.stdout if read else f"{instance.host} does not answer over SSH"


def _on_host(inventory: Inventory, instance: Instance, command: str, timeout: int = 30) -> ssh.Output | None:
    try:
        return ssh.run(instance.host, inventory.hosts[instance.host], command, timeout)
    except HostUnreachable:
        return None
