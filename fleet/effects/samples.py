"""What the load balancers' access logs say of two colours, and of each instance behind them. Reads only."""

import json
import random
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.effects import access_log, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError
from fleet.plan.judge import Side

LOGS = ("/var/log/nginx/access.log", "/var/log/nginx/access.log.1")  # older ones are compressed
TIMEOUT_SECONDS = 120
_PROGRAM = Path(access_log.__file__).read_text()


@dataclass(frozen=True)
class Counts:
    """Of a colour or an instance; `latencies` in milliseconds, a fair sample of the `answered` requests'."""

    requests: int = 0
    failures: int = 0
    answered: int = 0
    latencies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a load balancer counted, by colour and by instance (`10.0.0.1:3310`); `skipped` lines were unreadable."""

    colours: Mapping[str, Counts]
    upstreams: Mapping[str, Counts]
    skipped: int = 0


def ask(inventory: Inventory, since: float, until: float) -> Answer:
    """All load balancers together, from `since` up to `until` in epoch seconds.

    Raises HostUnreachable when one of them does not answer, and FleetError when its log cannot be read: a count without
    it would be of other traffic than the one that the share is set for.
    """
    command = shlex.join(["sudo", "-n", "python3", "-c", _PROGRAM, f"{since:.3f}", f"{until:.3f}", *LOGS])
    answers = ssh.on_each(inventory.group("loadbalancers"), lambda name: _ask(name, inventory, command))
    return together(answers.values())


def side(answer: Answer, colour: str) -> Side:
    """Of a colour without traffic, one without requests. What a log cannot know is left for others to fill in."""
    counts = answer.colours.get(colour, Counts())
    return Side(requests=counts.requests, failures=counts.failures, latencies=counts.latencies)


def parsed(text: str) -> Answer:
    """What the program printed."""
    found = json.loads(text)
    return Answer(_counts(found["colours"]), _counts(found["upstreams"]), found["skipped"])


def together(answers: Iterable[Answer]) -> Answer:
    """Counts are added up; of the latencies each load balancer gives its fair part, as much as it answered."""
    answers = list(answers)
    return Answer(
        _merged([answer.colours for answer in answers]),
        _merged([answer.upstreams for answer in answers]),
        sum(answer.skipped for answer in answers),
    )


def _ask(name: str, inventory: Inventory, command: str) -> Answer:
    output = ssh.run(name, inventory.hosts[name], command, timeout=TIMEOUT_SECONDS)
    if output.code != 0:
        why = (output.stderr.strip().splitlines() or [f"exit code {output.code}"])[-1]
        raise FleetError(f"{name}: cannot read its access log: {why}; see whether {LOGS[0]} is there")
    return parsed(output.stdout)


def _counts(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Counts]:
    return {name: Counts(**{**each, "latencies": tuple(each["latencies"])}) for name, each in found.items()}


def _merged(answers: Sequence[Mapping[str, Counts]]) -> dict[str, Counts]:
    names = sorted({name for answer in answers for name in answer})
    return {name: _sum([answer[name] for answer in answers if name in answer]) for name in names}


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(
        sum(each.requests for each in counts),
        sum(each.failures for each in counts),
        sum(each.answered for each in counts),
        _fair_sample(counts),
    )


def _fair_sample(counts: Sequence[Counts]) -> tuple[float, ...]:
    """Each answered request has the same chance to be in it, whichever load balancer it went through.

    A busy one's full sample stands for more requests than a quiet one's: from each is taken as much as the one that
    kept the least of its requests can give.
    """
    answered = [each for each in counts if each.latencies]
    share = min((len(each.latencies) / each.answered for each in answered), default=1.0)
    chance = random.Random(0)  # noqa: S311  (no secret; the same answers give the same sample)
    taken = [chance.sample(each.latencies, round(each.answered * share)) for each in answered]
    return tuple(latency for part in taken for latency in part)
