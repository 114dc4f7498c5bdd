"""What the load balancers send where: read, and changed on all of them together, with no reload."""

import itertools
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
_KNOWN = {"green", "since", "wish", "maintenance", "instances"}
Answers = list[list[tuple[int, str]]]


def read(inventory: Inventory) -> tuple[LoadBalancer, ...]:
    """Every load balancer, as it is now."""
    names = inventory.group("loadbalancers")
    found = ssh.on_each(names, lambda name: _look(inventory, name))
    return tuple(found[name] for name in names)


def change(inventory: Inventory, names: Sequence[str], wanted: Mapping[str, Any]) -> None:
    """Change green, wish or maintenance on all of them, or on none; raises StepFailed that says how each is left."""
    before = {each.name: each for each in read(inventory)}
    if away := [name for name in names if before[name].green is None]:
        raise StepFailed(
            f"nothing was changed: {', '.join(f'{name} ({before[name].detail})' for name in away)} cannot be asked; "
            "bring it back, or take it out of the inventory",
            frozenset(away),
        )
    was = {name: _fields(before[name], wanted) for name in names}
    answers = ssh.on_each(names, lambda name: _state(inventory, name, "PATCH", wanted))
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
    if failed:
        why = [f"{name} did not change: {answer}" for name, answer in failed.items()]
        raise StepFailed("; ".join([*why, *_put_back(inventory, was)]), frozenset(failed))


def smoke(inventory: Inventory, version: str, instances: Sequence[Instance]) -> None:
    """Every instance answers through every load balancer, ready and on the version; a stranger is refused.

    Raises StepFailed with what was found instead.
    """
    colour, many, names = instances[0].colour, len(instances), inventory.group("loadbalancers")
    found = ssh.on_each(names, lambda name: _smoke(inventory, name, colour, version, many))
    if wrong := [f"{name}: {why}" for name, why in found.items() if why]:
        raise StepFailed("\n".join(wrong), frozenset(i.host for i in instances))


def _put_back(inventory: Inventory, was: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Also one that gave no answer, which may have changed. How each is left is looked at, not concluded."""
    ssh.on_each(was, lambda name: _state(inventory, name, "PATCH", was[name]))
    left: dict[str, list[str]] = {}
    for each in read(inventory):
        if each.name in was:
            as_before = _fields(each, was[each.name]) == was[each.name]
            how = "NOT KNOWN, perhaps changed" if each.green is None else "as before" if as_before else "STILL CHANGED"
            left.setdefault(how, []).append(each.name)
    return [f"{how}: {', '.join(names)}" for how, names in sorted(left.items())]


def _fields(found: LoadBalancer, wanted: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"green": found.green, "wish": found.wish, "maintenance": found.maintenance}
    return {name: known[name] for name in wanted}


def _smoke(inventory: Inventory, name: str, colour: Colour, version: str, many: int) -> str:
    """What is wrong, else nothing.

    Which instance answers is the load balancer's choice, and each of its workers has a turn of its own: so who is
    missing is asked for at length.
    """
    url = f"http://127.0.0.1:{int(inventory.hosts[name].get('nginx_listen_port', 80))}"
    health, strangers = (
        {"method": "GET", "url": f"{url}{path}", "headers": {"X-Amebo-Colour": str(colour)}, "times": 4 * many}
        for path in ("/health/ready", "/v1/events")
    )
    heard: set[str] = set()
    for requests in ([health, strangers], [{**health, "times": 40 * many}]):
        answers = _ask(inventory, name, requests)
        if isinstance(answers, str):
            return answers
        if wrong := _judge(answers, version):
            return wrong
        heard |= {str(_parsed(body)["instance"]) for _, body in answers[0]}
        if len(heard) >= many:
            break
    return (
        ""
        if len(heard) == many
        else f"{many} instances should answer, and {len(heard)} did: {', '.join(sorted(heard))}"
    )


def _judge(answers: Answers, version: str) -> str:
    """What is wrong with the answers of /health/ready, and with those to a stranger; else nothing."""
    health, *strangers = answers
    for status, body in health:
        found = _parsed(body)
        if status != 200 or found.get("version") != version or "instance" not in found:
            return f"/health/ready was answered with {status}: {body[:300]}"
    for status, body in itertools.chain(*strangers):
        if status != 401:
            return f"who asked for events without credentials was answered with {status}, not with 401: {body[:300]}"
    return ""


def _parsed(text: str) -> dict[str, Any]:
    """Empty, where it is no JSON object: then somebody else answered."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _look(inventory: Inventory, name: str) -> LoadBalancer:
    """Its state, and in the same question whether it holds the shared address."""
    shared = inventory.shared_address
    more = [{"holds": shared}] if shared else []
    answers = _ask(inventory, name, [_request(inventory, name, "GET"), *more])
    if isinstance(answers, str):
        return LoadBalancer(name, detail=answers)
    state, *held = answers
    return _load_balancer(name, _understood(*state[0]), holds=held[0][0][0] == 200 if held else None)


def _state(inventory: Inventory, name: str, method: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | str:
    """The state after it, or why there is none."""
    answers = _ask(inventory, name, [_request(inventory, name, method, body)])
    return answers if isinstance(answers, str) else _understood(*answers[0][0])


def _request(inventory: Inventory, name: str, method: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    port = int(inventory.hosts[name].get("nginx_control_port", _PORT))
    return {"method": method, "url": f"http://127.0.0.1:{port}/traffic", "body": body}


def _understood(status: int, text: str) -> dict[str, Any] | str:
    found = _parsed(text)
    if status == 0:
        return f"nginx does not answer: {text}"
    if status != 200 or not found.keys() >= _KNOWN:
        return f"nginx answered {status}: {text.strip()[:300]}"
    return found


def _ask(inventory: Inventory, name: str, requests: Sequence[Mapping[str, Any]]) -> Answers | str:
    command = f"python3 -c {shlex.quote(_CONTROL)} {shlex.quote(json.dumps(requests))}"
    try:
        output = ssh.run(name, inventory.hosts[name], command)
    except HostUnreachable as error:
        return str(error)
    if output.code != 0:
        return (output.stderr.strip().splitlines()[-1:] or [f"exit code {output.code}"])[0]
    try:
        answers: Answers = json.loads(output.stdout)
    except ValueError:
        return "what it answered is no JSON; does a login script print?"
    return answers


def _load_balancer(name: str, found: dict[str, Any] | str, *, holds: bool | None) -> LoadBalancer:
    if isinstance(found, str):
        return LoadBalancer(name, detail=found, holds=holds)
    peers = (
        Peer(address, Colour(p["colour"]), int(p["weight"]), p["by"], int(p["active"]), bool(p["tripped"]))
        for address, p in sorted(found["instances"].items())
    )
    return LoadBalancer(
        name,
        float(found["green"]),
        float(found["since"]),
        found["wish"],
        found["maintenance"],
        tuple(peers),
        holds=holds,
    )
