"""The verbs that only look: `top`, a live screen of the fleet, and `report`, a change as a page to keep."""

import json as jsonlib
import os
import select
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from fleet import interlock, top
from fleet.effects import inventory, keepers, traffic
from fleet.effects.inventory import Inventory
from fleet.effects.lease import Holder
from fleet.errors import FleetError
from fleet.model import Fleet, Host
from fleet.observe import observe
from fleet.report.commands import report
from fleet.top import Answer, Lock, Part, Running, Size, Snapshot, Unasked

commands = typer.Typer()
commands.command(epilog="Example: ./ops.py report 3f9a --out change.html")(report)

LONGEST_WINDOW = 5.0  # seconds over which a look counts requests
LOOKS = 120  # kept for the sparklines
TAIL = 20  # lines of the journal, to find the latest step in
FIRST_LOOKS = 0.3  # seconds between screens until everybody has said something


@dataclass(frozen=True)
class Question:
    """How somebody is asked, and what is shown in the place of an answer."""

    ask: Callable[[], Part]
    unasked: Unasked


@commands.command(name="top", epilog="Example: ./ops.py top --interval 5")
def top_(
    interval: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
) -> None:
    """Watch the fleet: instances, load balancers, the running change, requests and errors, until Ctrl-C or q.

    Each host is asked by itself: one that hangs holds nobody up, and shows as out of reach.
    """
    if json and not once:
        raise FleetError("--json prints one look: add --once")
    hosts, console = inventory.read(), Console(highlight=False)
    if not once and not console.is_terminal:
        raise FleetError("a live screen needs a terminal: add --once to print one look")
    if not once:
        _watch(hosts, interval, console)
    elif json:
        typer.echo(jsonlib.dumps(top.data(_look_once(hosts, interval)), indent=2))
    else:
        console.print(top.frame([_look_once(hosts, interval)], Size(console.width)))


def questions(hosts: Inventory, window: float) -> dict[str, Question]:
    """Who is asked what: each on its own, so that each has its own timeout."""
    return {
        **{host.name: _of_host(hosts, host, window) for host in hosts.app_hosts},
        **{f"nginx on {name}": _of_balancer(hosts, name) for name in hosts.group("loadbalancers")},
        "the lock": Question(
            lambda: _readable("the journal", partial(_lock, hosts), top.unasked_lock), top.unasked_lock
        ),
    }


@dataclass
class _Heard:
    """The last of one who is asked again and again; times by the monotonic clock, `broke`: an error of ours."""

    since: float
    said: Part | None = None
    broke: BaseException | None = None


class Watch:
    """Asks all of them again and again, at most once an interval, each on a thread of its own."""

    def __init__(self, asked: Mapping[str, Question], interval: float) -> None:
        """Nobody is asked before `start`."""
        self._questions, self._interval = asked, interval
        self._heard = {name: _Heard(time.monotonic()) for name in asked}
        self._ended = threading.Event()

    def start(self) -> None:
        """The threads are daemons: one whose host hangs keeps nobody from leaving."""
        for name in self._questions:
            threading.Thread(target=self._go_on_asking, args=(name,), name=f"ask {name}", daemon=True).start()

    def end(self) -> None:
        """No further question."""
        self._ended.set()

    def answers(self) -> dict[str, Answer]:
        """What each said last. Raises what an asking thread died of, which is a defect here."""
        now = time.monotonic()
        for heard in self._heard.values():
            if heard.broke:
                raise heard.broke
        return {
            name: Answer(heard.said, self._questions[name].unasked, now - heard.since)
            for name, heard in self._heard.items()
        }

    def _go_on_asking(self, name: str) -> None:
        while not self._ended.is_set():
            asked = time.monotonic()
            try:
                said = self._questions[name].ask()
            except BaseException as error:  # noqa: BLE001  # raised again by answers(), where it is seen
                self._heard[name] = _Heard(asked, broke=error)
                return
            self._heard[name] = _Heard(time.monotonic(), said)
            self._ended.wait(max(0.0, asked + self._interval - time.monotonic()))


def _look_once(hosts: Inventory, window: float) -> Snapshot:
    asked = questions(hosts, min(window, LONGEST_WINDOW))
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        said = list(pool.map(lambda question: question.ask(), asked.values()))
    answers = {name: Answer(part, asked[name].unasked) for name, part in zip(asked, said, strict=True)}
    return _snapshot(answers, hosts, window)


def _watch(hosts: Inventory, interval: float, console: Console) -> None:
    """Until Ctrl-C or q. What a thread still waits for needs no end: the process goes, whoever hangs."""
    watch = Watch(questions(hosts, min(interval, LONGEST_WINDOW)), interval)
    watch.start()
    with (
        suppress(KeyboardInterrupt),
        _keys() as is_quit,
        Live(console=console, screen=True, auto_refresh=False) as screen,
    ):
        _draw(watch, hosts, interval, screen, is_quit)
    watch.end()
    sys.stdout.flush()
    os._exit(0)  # an executor's threads would be waited for, as long as a host that hangs has its timeout


def _draw(watch: Watch, hosts: Inventory, interval: float, screen: Live, is_quit: Callable[[float], bool]) -> None:
    """Quickly until everybody has said something: what is known of a part of the fleet is shown, and not kept."""
    series: deque[Snapshot] = deque(maxlen=LOOKS)
    is_partial = is_over = False
    while not is_over:
        if is_partial:
            series.pop()
        seen = _snapshot(watch.answers(), hosts, interval)
        is_partial = bool(seen.awaited)
        series.append(seen)
        screen.update(top.frame(tuple(series), Size(screen.console.width, screen.console.height)), refresh=True)
        is_over = is_quit(FIRST_LOOKS if is_partial else interval)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Waits so many seconds, or until q is pressed: True then. The terminal is as it was afterwards."""
    if not sys.stdin.isatty():
        yield _nobody_types
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield partial(_typed_q, descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _nobody_types(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _typed_q(descriptor: int, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        readable, _, _ = select.select([descriptor], [], [], left)
        if readable and os.read(descriptor, 1) in (b"q", b"Q", b""):  # nothing to read: the terminal is gone
            return True
    return False


def _snapshot(answers: Mapping[str, Answer], hosts: Inventory, interval: float) -> Snapshot:
    addresses = {host.name: host.address for host in hosts.app_hosts}
    patience = 3 * interval + 5  # a host is asked for as long as an interval, and connecting has 5 s
    return top.snapshot(answers, datetime.now(UTC), addresses, version=hosts.version, patience=patience)


def _of_host(hosts: Inventory, host: Host, window: float) -> Question:
    unasked = partial(top.unasked_host, host)
    return Question(
        lambda: _readable(host.name, lambda: observe(_only(hosts, app=host.name), window), unasked), unasked
    )


def _of_balancer(hosts: Inventory, name: str) -> Question:
    unasked, only = partial(top.unasked_balancer, name), _only(hosts, loadbalancers=name)
    return Question(lambda: _readable(name, lambda: Fleet((), load_balancers=traffic.read(only)), unasked), unasked)


def _readable(name: str, ask: Callable[[], Part], unasked: Unasked) -> Part:
    """A host that was set up by another version of this program may answer in another form."""
    try:
        return ask()
    except (LookupError, ValueError, TypeError) as error:
        return unasked(f"{name}: its answer cannot be read ({type(error).__name__}: {error}); of another version?")


def _lock(hosts: Inventory) -> Lock:
    try:
        held = interlock.holder(hosts)
        return Lock(_running(hosts, held)) if held else Lock()
    except FleetError as error:
        return Lock(unknown=str(error))


def _running(hosts: Inventory, held: Holder) -> Running:
    """With its latest step, where a load balancer can be asked for it."""
    running = Running(held.id, held.who, held.verb, held.what, held.why, held.since)
    ask = keepers.over_ssh(hosts)
    heads, _ = keepers.each(ask, hosts.group("loadbalancers"), "head", {})
    if not heads:
        return running
    source = max(heads, key=lambda name: heads[name]["number"])
    tails, _ = keepers.each(ask, (source,), "read", {"after": max(0, heads[source]["number"] - TAIL)})
    return top.latest(tails[source]["lines"], running) if tails else running


def _only(hosts: Inventory, *, app: str = "", loadbalancers: str = "") -> Inventory:
    """The same inventory with one host in one group."""
    groups = {"app": (app,) if app else (), "loadbalancers": (loadbalancers,) if loadbalancers else ()}
    return replace(hosts, groups={**hosts.groups, **groups})
