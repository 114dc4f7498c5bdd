"""The end of a colour that has no traffic any more: its hosts stop it by themselves, also when the operator is gone."""

from collections.abc import Callable, Sequence

from fleet.effects import ssh
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from fleet.model import Instance

_KEEP = """
sudo -n systemctl stop {timers} 2>/dev/null
for slot in {slots}; do systemctl is-active --quiet $slot && sudo -n systemctl enable --quiet $slot; done
sudo -n systemctl enable --quiet {sockets}
"""
_RETIRE = """
sudo -n systemctl stop amebo-retire-{port}.timer 2>/dev/null
sudo -n systemctl disable --quiet {units}
sudo -n systemd-run --quiet --collect --unit=amebo-retire-{port} --on-active={seconds} --timer-property=AccuracySec=1s \
    systemctl stop {units}
"""


def arrange(inventory: Inventory, instances: Sequence[Instance], seconds: int) -> None:
    """Stop them after so many seconds; a reboot in between does not bring them back, either."""
    _on_hosts(
        inventory, instances, lambda port: _RETIRE.format(port=port, seconds=seconds, units=" ".join(units(port)))
    )


def cancel(inventory: Inventory, instances: Sequence[Instance]) -> None:
    """They stay: nothing stops them, and those that run are started at boot again."""
    _on_hosts(
        inventory,
        instances,
        lambda port: _KEEP.format(
            timers=f"amebo-retire-{port}.timer", slots=" ".join(units(port)[1:]), sockets=units(port)[0]
        ),
    )


def units(port: int) -> tuple[str, ...]:
    """An instance's socket, and its two slots."""
    return f"amebo-web@{port}.socket", f"amebo-web-a@{port}.service", f"amebo-web-b@{port}.service"


def _on_hosts(inventory: Inventory, instances: Sequence[Instance], script: Callable[[int], str]) -> None:
    ports: dict[str, list[int]] = {}
    for instance in instances:
        ports.setdefault(instance.host, []).append(instance.port)
    answers = ssh.on_each(ports, lambda name: _run(inventory, name, "".join(map(script, ports[name]))))
    if failed := {name: why for name, why in answers.items() if why}:
        raise StepFailed("\n".join(f"{name}: {why}" for name, why in failed.items()), frozenset(failed))


def _run(inventory: Inventory, name: str, script: str) -> str:
    """What went wrong, else nothing."""
    try:
        output = ssh.run(name, inventory.hosts[name], script)
    except HostUnreachable as error:
        return str(error)
    return output.stderr.strip() or f"exit code {output.code}" if output.code != 0 else ""
