"""Load balancers and their guards: what is sent where, and to which instance it is not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleet.facts import Facts, Finding, Guarded, Severity
from fleet.findings.words import FULL, listed, sentence
from fleet.model import Colour, Fleet, Instance, LoadBalancer, Peer, State

GUARD = "guard"


def find(facts: Facts) -> Iterator[Finding]:
    """The whole first, then single instances."""
    for look in (_traffic, _address, _peers, _guards):
        yield from look(facts)


def _traffic(facts: Facts) -> Iterator[Finding]:
    fleet = facts.fleet
    for each in fleet.load_balancers:
        yield from _balancer(each)
    names = tuple(each.name for each in fleet.load_balancers)
    shares = ", ".join(f"{each.name} {each.green:g} %" for each in fleet.load_balancers if each.green is not None)
    if len(fleet.shares) > 1:
        text = f"The load balancers send different shares to green: {shares}."
        why = "A change is about to make them agree." if facts.holder else "A change of the traffic was interrupted."
        after = "" if facts.holder else _make_agree(fleet)
        yield Finding(Severity.UNSETTLED if facts.holder else Severity.WRONG, names, text, why, after)
    elif facts.is_split:
        colours = "; ".join(f"{colour} runs {_running(fleet, colour)}" for colour in Colour)
        text = f"Traffic is split: {fleet.shares[0]:g} % of the publishers are sent to green ({colours})."
        if facts.holder:
            yield Finding(Severity.UNSETTLED, (), text, f"{facts.holder.verb} of {facts.holder.who} does it.")
        else:
            why = "A canary stopped there: nobody changes the fleet now, and it stays like this."
            after = (
                f"To go on: ./ops.py canary {_canary(fleet)}\nTo give it up, while that runs: ./ops.py canary --abort"
            )
            yield Finding(Severity.UNSETTLED, (), text, why, after)


def _balancer(each: LoadBalancer) -> Iterator[Finding]:
    about = (each.name,)
    if each.green is None:
        text = f"{each.name} cannot be asked what it sends where."
        after = "Bring it back: no switch begins without it."
        yield Finding(Severity.WRONG, about, text, sentence(each.detail), after)
        return
    share = {0.0: "all traffic to blue", 100.0: "all traffic to green"}.get(each.green, f"{each.green:g} % to green")
    yield Finding(Severity.NOTE, about, f"{each.name} sends {share}.")
    if each.maintenance != "off":
        does = "lets publishers wait" if each.maintenance == "queue" else "answers publishers with 503 and Retry-After"
        text = f"{each.name} {does}: maintenance is {each.maintenance}."
        yield Finding(
            Severity.UNSETTLED, about, text, "Somebody turned it on.", "To end it: ./ops.py maintenance-page off"
        )


def _address(facts: Facts) -> Iterator[Finding]:
    """Nobody is known to hold it where one that cannot be asked may."""
    shared = [each for each in facts.fleet.load_balancers if each.holds is not None]
    names = tuple(each.name for each in shared)
    holders = [each.name for each in shared if each.holds]
    look = "\n".join(f"What it says: ssh {name} sudo journalctl -n 30 -u keepalived" for name in holders or names)
    if len(holders) == 1:
        text = f"{holders[0]} holds the address that the load balancers share."
        yield Finding(Severity.NOTE, (holders[0],), text)
    elif holders:
        text = f"{listed(*holders)} hold the shared address, all at the same time."
        why = "They do not hear each other: VRRP, IP protocol 112, does not get through between them."
        yield Finding(Severity.WRONG, tuple(holders), text, why, look)
    elif shared and len(shared) == len(facts.fleet.load_balancers):
        text = "No load balancer holds the shared address: publishers reach nobody."
        yield Finding(Severity.WRONG, names, text, "keepalived does not run, or nginx answers nowhere.", look)


def _make_agree(fleet: Fleet) -> str:
    share = min(fleet.shares, key=lambda share: sum(each.green != share for each in fleet.load_balancers))
    wrong = [each.name for each in fleet.load_balancers if each.green not in (None, share)]
    return f"Make them agree, for example on {share:g} %, on {listed(*wrong)}: {_patch({'green': share})}"


def _patch(wanted: Mapping[str, Any]) -> str:
    """As docs/guard.md says it, for a shell on a load balancer."""
    body = str(dict(wanted)).replace("'", '"')
    return f"curl -X PATCH http://127.0.0.1:8405/traffic -d '{body}'"


def _running(fleet: Fleet, colour: Colour) -> str:
    versions = {o.version for o in fleet.instances if o.what.colour is colour and o.version}
    return ", ".join(sorted(versions)) or "nothing"


def _canary(fleet: Fleet) -> str:
    """The version that it is for: the one that is not recorded."""
    versions = {o.version for o in fleet.instances if o.version} - {fleet.version}
    return versions.pop() if len(versions) == 1 else "VERSION"


def _peers(facts: Facts) -> Iterator[Finding]:
    """What load balancers do with single instances; what several do alike is one finding."""
    alike: dict[tuple[Peer, str], list[str]] = {}
    for balancer in facts.fleet.load_balancers:
        if balancer.green is not None:
            yield from _strangers(facts, balancer)
        for peer in balancer.peers:
            key = Peer(peer.address, peer.colour, peer.weight, peer.by, 0, peer.tripped)
            alike.setdefault((key, facts.because(balancer.name, peer.address)), []).append(balancer.name)
    serving = {o.what: o.state for o in facts.fleet.instances}
    for (peer, why), names in alike.items():
        instance = facts.instance_at(peer.address)
        is_ready = instance in serving and serving[instance] is State.READY
        if peer.weight < FULL and (peer.by != GUARD or is_ready):
            yield _weighed(instance, peer, why, names)
        elif peer.tripped and is_ready:
            yield _tripped(instance, names)


def _strangers(facts: Facts, balancer: LoadBalancer) -> Iterator[Finding]:
    """A load balancer is told of the inventory's instances by scaling and by site.yml, and by nobody else."""
    known, meant = {peer.address for peer in balancer.peers}, facts.addresses
    after = f"To see what would change: ./ops.py drift\nTo tell it: ./ops.py scale {facts.size}"
    if missing := [str(instance) for address, instance in sorted(meant.items()) if address not in known]:
        text = f"{balancer.name} does not know {listed(*missing)}, and sends nothing there."
        yield Finding(
            Severity.WRONG, (balancer.name, *missing), text, "The inventory has them; it was not told.", after
        )
    if strange := sorted(known - set(meant)):
        text = f"{balancer.name} sends requests to {listed(*strange)}, which the inventory does not have."
        yield Finding(Severity.UNSETTLED, (balancer.name,), text, "They were taken out of the inventory.", after)


def _weighed(instance: Instance | None, peer: Peer, why: str, names: Sequence[str]) -> Finding:
    name = str(instance or peer.address)
    share = "no request" if not peer.weight else f"{peer.weight} % of its share"
    text = f"{name}: {listed(*names)} {'sends' if len(names) == 1 else 'send'} it {share}."
    if peer.by == GUARD:
        because = f"The guard {'took it out' if not peer.weight else 'is giving it back'}: {why or 'no reason known'}."
        after = "Once it is healthy, it gets its share back by itself."
    else:
        because = f"Somebody set that by hand, as {peer.by}." if peer.by else "Somebody set that, and left no name."
        after = f"To give it back, on {listed(*names)}: {_patch({'weights': {peer.address: FULL}, 'by': ''})}"
    return Finding(Severity.UNSETTLED, (name, *names), text, because, after)


def _tripped(instance: Instance | None, names: Sequence[str]) -> Finding:
    text = f"{instance} is ready, and {listed(*names)} {'avoids' if len(names) == 1 else 'avoid'} it for now."
    why = "Requests to it failed, one after the other; it is tried again after a while."
    after = f"How they failed: ssh {names[0]} sudo tail /var/log/nginx/error.log"
    return Finding(Severity.UNSETTLED, (str(instance), *names), text, why, after)


def _guards(facts: Facts) -> Iterator[Finding]:
    for name, guard in facts.guards.items():
        look = f"Its journal says more: ssh {name} sudo journalctl -n 30 -u amebo-guard"
        if guard.error:
            text = f"The guard on {name} does not work; bad instances are avoided by nginx' own means alone."
            yield Finding(Severity.UNSETTLED, (name,), text, sentence(guard.error), look)
        elif guard.panic:
            kept = {str(facts.instance_at(a) or a): g.why for a, g in guard.instances.items() if g.why and _stays(g)}
            said = "; ".join(f"{instance}: {why}" for instance, why in kept.items())
            text = f"The guard on {name} keeps bad instances in service, for want of better ones."
            yield Finding(Severity.WRONG, (name, *kept), text, sentence(said), look)


def _stays(guarded: Guarded) -> bool:
    return guarded.state == "closed"
