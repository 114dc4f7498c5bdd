"""The rolling update: which instances move to a release, in which batches, as a value."""

from dataclasses import dataclass
from math import ceil

from fleet.errors import PlanRefused
from fleet.model import (
    Check,
    Fleet,
    Instance,
    Migrate,
    Observed,
    Record,
    Replace,
    ReplaceDispatchers,
    Soak,
    Stage,
    State,
    Step,
)


@dataclass(frozen=True)
class Policy:
    """How bold a rollout is: shares of the fleet reached before each soak; `max_out` is a share if below 1."""

    stages: tuple[float, ...] = (0.25, 0.5, 1.0)
    max_out: float = 0.25
    soak_seconds: float = 5.0
    skip_hosts: frozenset[str] = frozenset()


def plan(fleet: Fleet, version: str, policy: Policy) -> tuple[Step, ...]:
    """Move every instance to `version`: unhealthy ones first, then 1, 25 %, 50 % and 100 % of the fleet.

    `()` when the whole fleet runs it already. Because it starts from what is observed, the plan made after an
    interruption is the rest of the interrupted one. Raises PlanRefused before any host is touched.
    """
    _refuse(fleet, policy)
    instances = [o for o in fleet.instances if o.what.host not in policy.skip_hosts]
    dispatchers = [o for o in fleet.dispatchers if o.what.host not in policy.skip_hosts]
    todo = [o for o in instances if not o.is_ready_on(version)]
    restarts = sorted({o.what.host for o in dispatchers if not o.is_ready_on(version)})
    if not todo and not restarts:
        return () if fleet.version == version else (Record(version),)
    hosts = tuple(sorted({o.what.host for o in instances} | {o.what.host for o in dispatchers}))
    return (
        Check(version, hosts),
        Stage(version, hosts),
        Migrate(version, hosts[0]),
        *_replacements(fleet, version, policy, todo),
        *(ReplaceDispatchers(version, host) for host in restarts),
        *(() if policy.skip_hosts else (Record(version),)),
    )


def undo(fleet: Fleet, version: str, policy: Policy) -> tuple[Step, ...]:
    """Take `version` back from whatever got it, to the version that the inventory says the fleet should run."""
    if fleet.version in (None, version):
        return ()
    back = str(fleet.version)
    behind = [o.what for o in fleet.instances if not o.is_ready_on(back) and o.state is not State.UNREACHABLE]
    restarts = sorted({o.what.host for o in fleet.dispatchers if o.version == version})
    return (
        *(Replace(back, batch) for batch in _batches(behind, allowed_out(fleet, policy))),
        *(ReplaceDispatchers(back, host) for host in restarts),
    )


def interrupted(fleet: Fleet) -> str:
    """The version that a rollout was moving to when it stopped: the one that runs beside the recorded one."""
    versions = {o.version for o in fleet.instances} | {o.version for o in fleet.dispatchers}
    running = {version for version in versions if version and version != fleet.version}
    if len(running) != 1:
        found = f"besides {fleet.version} the fleet runs {', '.join(sorted(running)) or 'nothing else'}"
        raise PlanRefused(f"cannot tell which update to resume ({found}); name the version")
    return running.pop()


def allowed_out(fleet: Fleet, policy: Policy) -> int:
    """How many instances may be out of service at once: never less than one, never the whole fleet of several."""
    total = len(fleet.instances)
    wanted = int(policy.max_out) if policy.max_out >= 1 else int(policy.max_out * total)
    return max(1, min(wanted, total - 1))


def take_out(fleet: Fleet, suspects: tuple[Instance, ...], policy: Policy) -> tuple[Instance, ...]:
    """Which of the suspects leave service, so that a bad instance answers nobody.

    None when more would be out than allowed: then the fault is shared, and a poor answer is better than none.
    """
    out = [o.what for o in fleet.instances if o.state in (State.STOPPED, State.UNREACHABLE)]
    serving = [o for o in fleet.instances if o.state is State.READY and o.what not in suspects]
    if not serving or len({*out, *suspects}) > allowed_out(fleet, policy):
        return ()
    return suspects


def _refuse(fleet: Fleet, policy: Policy) -> None:
    if len(fleet.shares) > 1 or any(share not in (0, 100) for share in fleet.shares):
        raise PlanRefused(
            "traffic is split between blue and green: first end the canary, or send all to one side: "
            "./ops.py shift 0 (or 100)"
        )
    if not fleet.instances:
        raise PlanRefused("the inventory has no web instance; give the hosts of group app amebo_web_ports")
    hosts = {o.what.host for o in fleet.instances} | {o.what.host for o in fleet.dispatchers}
    if unknown := policy.skip_hosts - hosts:
        raise PlanRefused(
            f"no host to skip is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(hosts))}"
        )
    if not hosts - policy.skip_hosts:
        raise PlanRefused("every host is left out; there is nothing to update")
    for host in fleet.unreachable_hosts():
        if host not in policy.skip_hosts:
            raise PlanRefused(
                f"{host} does not answer over SSH; bring it back, or leave it out with --skip {host} "
                "(its instances then count as out of service)"
            )


def _replacements(fleet: Fleet, version: str, policy: Policy, todo: list[Observed[Instance]]) -> tuple[Step, ...]:
    unhealthy = [o.what for o in todo if o.state is not State.READY]
    ready = {o.what for o in todo if o.state is State.READY}
    healthy = [instance for instance in _spread([o.what for o in fleet.instances]) if instance in ready]
    lost = sum(o.what.host in policy.skip_hosts for o in fleet.instances)
    at_once = allowed_out(fleet, policy) - lost
    if at_once < 1 and healthy:
        raise PlanRefused(
            f"{lost} of {len(fleet.instances)} instances are left out and {allowed_out(fleet, policy)} may be out of "
            f"service; bring them back, or allow it with --max-out {lost + 1}"
        )
    replaced = [o.what for o in fleet.instances if o.is_ready_on(version)]
    steps: list[Step] = []
    for stage in (unhealthy, *_stages(healthy, len(replaced) + len(unhealthy), len(fleet.instances), policy.stages)):
        if stage:
            steps += (Replace(version, batch) for batch in _batches(stage, max(1, at_once)))
            replaced += stage
            steps.append(Soak(version, tuple(sorted(replaced)), policy.soak_seconds))
    return tuple(steps)


def _spread(instances: list[Instance]) -> list[Instance]:
    """Round-robin over the hosts, so that one batch does not take all instances of one host.

    Over the whole fleet, not only over what is left to do: so the order is the same when an update is resumed.
    """
    seen: dict[str, int] = {}
    turns: list[tuple[int, Instance]] = []
    for instance in sorted(instances):
        turns.append((seen.setdefault(instance.host, 0), instance))
        seen[instance.host] += 1
    return [instance for _, instance in sorted(turns)]


def _stages(healthy: list[Instance], done: int, total: int, shares: tuple[float, ...]) -> list[list[Instance]]:
    """Cut where one instance, then each share of the fleet, will run the release; `done` run it before."""
    ends = [1, *(ceil(share * total) for share in shares)]
    cuts = sorted({min(max(0, end - done), len(healthy)) for end in ends} | {len(healthy)})
    return [healthy[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


def _batches(instances: list[Instance], at_once: int) -> list[tuple[Instance, ...]]:
    return [tuple(instances[i : i + at_once]) for i in range(0, len(instances), at_once)]
