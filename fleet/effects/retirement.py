"""The end of instances without traffic: at once, or later and by their hosts alone, also when the operator is gone."""

import shlex
from collections.abc import Sequence

from fleet.effects import ssh
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from fleet.model import Instance

# One command a host, and no reload of systemd: on the way back every second counts.
_KEEP = """
for timer in {timers}; do systemctl stop $timer 2>/dev/null; done
for slot in {slots}; do systemctl is-active --quiet $slot && running="$running $slot"; done
systemctl enable --quiet --no-reload {sockets} $running
"""
_RETIRE = """
set -e
for timer in {timers}; do systemctl stop $timer 2>/dev/null || :; done
systemctl disable --quiet {sockets} {slots}
for port in {ports}; do
systemd-run --quiet --collect --unit=amebo-retire-$port --on-active={seconds} --timer-property=AccuracySec=1s \\
    systemctl stop amebo-web@$port.socket amebo-web-a@$port.service amebo-web-b@$port.service
done
"""


# The sockets first, by themselves: together they would be closed last, with connections in them that nobody answers.
_STOP = """
for timer in {timers}; do systemctl stop $timer 2>/dev/null; done
systemctl disable --quiet --now {sockets}
systemctl disable --quiet --now {slots}
"""


def stop(inventory: Inventory, instances: Sequence[Instance]) -> None:
    """Return once they have ended, having answered what they had accepted; a reboot does not bring them back."""
    _on_hosts(inventory, instances, _STOP, timeout=90)


def arrange(inventory: Inventory, instances: Sequence[Instance], seconds: int) -> None:
    """Stop them after so many seconds; a reboot in between does not bring them back, either."""
    _on_hosts(inventory, instances, _RETIRE, seconds=seconds)


def cancel(inventory: Inventory, instances: Sequence[Instance]) -> None:
    """They stay: nothing stops them, and those that run are started at boot again."""
    _on_hosts(inventory, instances, _KEEP)


def units(port: int) -> tuple[str, ...]:
    """An instance's socket, and its two slots."""
    return f"amebo-web@{port}.socket", f"amebo-web-a@{port}.service", f"amebo-web-b@{port}.service"


def _on_hosts(
    inventory: Inventory, instances: Sequence[Instance], script: str, timeout: int = 30, **values: object
) -> None:
    ports: dict[str, list[int]] = {}
    for instance in instances:
        ports.setdefault(instance.host, []).append(instance.port)
    scripts = {name: script.format(**_words(of), **values) for name, of in ports.items()}
    answers = ssh.on_each(scripts, lambda name: _run(inventory, name, scripts[name], timeout))
    if failed := {name: why for name, why in answers.items() if why}:
        raise StepFailed("\n".join(f"{name}: {why}" for name, why in failed.items()), frozenset(failed))


def _words(ports: Sequence[int]) -> dict[str, str]:
    return {
        "ports": " ".join(map(str, ports)),
        "timers": " ".join(f"amebo-retire-{port}.timer" for port in ports),
        "sockets": " ".join(units(port)[0] for port in ports),
        "slots": " ".join(slot for port in ports for slot in units(port)[1:]),
    }


def _run(inventory: Inventory, name: str, script: str, timeout: int) -> str:
    """What went wrong, else nothing."""
    try:
        output = ssh.run(name, inventory.hosts[name], f"sudo -n sh -c {shlex.quote(script)}", timeout)
    except HostUnreachable as error:
        return str(error)
    return output.stderr.strip() or f"exit code {output.code}" if output.code != 0 else ""
