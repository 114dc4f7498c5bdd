"""What the load balancers send where: read, and changed on all of them together, with no reload."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet.effects import control, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from fleet.model import Colour, Instance, LoadBalancer, Peer

_CONTROL = Path(control.__file__).read_text()
_PORT = 8405
Answers = list[list[tuple[int, str]]]


def read(inventory: Inventory) -> tuple[LoadBalancer, ...]:
    """Every load balancer, as it is now."""
    names = inventory.group("loadbalancers")
    found = ssh.on_each(names, lambda name: _state(inventory, name, "GET"))
    return tuple(_load_balancer(name, found[name]) for name in names)


def change(inventory: Inventory, names: Sequence[str], wanted: Mapping[str, Any]) -> None:
    """Change them all, or put back those that did; raises StepFailed that says which did not, and how each is left."""
    before = {each.name: each for each in read(inventory)}
    if away := [name for name in names if before[name].green is None]:
        raise StepFailed(
            f"nothing was changed: {', '.join(f'{name} ({before[name].detail})' for name in away)} cannot be asked; "
            "bring it back, or take it out of the inventory",
            frozenset(away),
        )
    answers = ssh.on_each(names, lambda name: _state(inventory, name, "PATCH", wanted))
    refused = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
    if refused:
        changed = [name for name in names if name not in refused]
        back = ssh.on_each(changed, lambda name: _state(inventory, name, "PATCH", _as_before(before[name], wanted)))
        stuck = [name for name, answer in back.items() if isinstance(answer, str)]
        raise StepFailed(
            "; ".join(f"{name} did not change: {why}" for name, why in refused.items())
            + (f"; put back: {', '.join(set(changed) - set(stuck))}" if set(changed) - set(stuck) else "")
            + (f"; CHANGED AND NOT PUT BACK: {', '.join(stuck)}" if stuck else ""),
            frozenset(refused),
        )


def smoke(inventory: Inventory, version: str, instances: Sequence[Instance]) -> None:
    """Every instance answers through every load balancer, ready and on the version; a stranger is refused.

    Raises StepFailed with what was found instead.
    """
    colour, names = instances[0].colour, inventory.group("loadbalancers")
    answers = ssh.on_each(names, lambda name: _smoke(inventory, name, colour, 4 * len(instances)))
    wrong = [f"{name}: {why}" for name in names if (why := _judge(answers[name], version, len(instances)))]
    if wrong:
        raise StepFailed("\n".join(wrong), frozenset(i.host for i in instances))


def _smoke(inventory: Inventory, name: str, colour: Colour, times: int) -> Answers | str:
    url = f"http://127.0.0.1:{int(inventory.hosts[name].get('nginx_listen_port', 80))}"
    headers = {"X-Amebo-Colour": str(colour)}
    return _ask(
        inventory,
        name,
        [
            {"method": "GET", "url": f"{url}/health/ready", "headers": headers, "times": times},
            {"method": "GET", "url": f"{url}/v1/events", "headers": headers, "times": times},
        ],
    )


def _judge(answers: Answers | str, version: str, many: int) -> str:
    """What is wrong, else nothing."""
    if isinstance(answers, str):
        return answers
    health, strangers = answers
    for status, body in health:
        if status != 200 or json.loads(body)["version"] != version:
            return f"/health/ready was answered with {status}: {body[:300]}"
    answered = {str(json.loads(body)["instance"]) for _, body in health}
    if len(answered) != many:
        return f"{many} instances should answer, and {len(answered)} did: {', '.join(sorted(answered))}"
    wrong = [(status, body) for status, body in strangers if status != 401]
    return f"who asked for events without credentials was answered with {wrong[0]}, not with 401" if wrong else ""


def _as_before(before: LoadBalancer, wanted: Mapping[str, Any]) -> dict[str, Any]:
    was: dict[str, Any] = {"green": before.green, "maintenance": before.maintenance}
    return {name: was[name] for name in wanted if name in was}


def _state(inventory: Inventory, name: str, method: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | str:
    """The state after it, or why there is none."""
    port = int(inventory.hosts[name].get("nginx_control_port", _PORT))
    request = {"method": method, "url": f"http://127.0.0.1:{port}/traffic", "body": body}
    answers = _ask(inventory, name, [request])
    if isinstance(answers, str):
        return answers
    status, text = answers[0][0]
    if status != 200:
        return f"nginx answered {status}: {text.strip()[:300]}"
    found: dict[str, Any] = json.loads(text)
    return found


def _ask(inventory: Inventory, name: str, requests: Sequence[Mapping[str, Any]]) -> Answers | str:
    command = f"python3 -c {shlex.quote(_CONTROL)} {shlex.quote(json.dumps(requests))}"
    try:
        output = ssh.run(name, inventory.hosts[name], command)
    except HostUnreachable as error:
        return str(error)
    if output.code != 0:
        return f"{name}: {output.stderr.strip().splitlines()[-1:]}"
    answers: Answers = json.loads(output.stdout)
    return answers


def _load_balancer(name: str, found: dict[str, Any] | str) -> LoadBalancer:
    if isinstance(found, str):
        return LoadBalancer(name, detail=found)
    peers = (
        Peer(address, Colour(p["colour"]), int(p["weight"]), p["by"], int(p["active"]), bool(p["tripped"]))
        for address, p in sorted(found["instances"].items())
    )
    return LoadBalancer(
        name, float(found["green"]), float(found["since"]), found["wish"], found["maintenance"], tuple(peers)
    )
