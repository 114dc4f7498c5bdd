"""What an explanation finds in what was observed: facts in, findings out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleet.effects.lease import Holder
from fleet.explain import data, explain, sentence
from fleet.facts import Facts, Finding, Guard, Guarded, Severity
from fleet.findings.processes import DATABASE
from fleet.history import NOT_ENDED, Change, Part
from fleet.model import Colour, Dispatcher, Fleet, Host, Instance, LoadBalancer, Observed, Peer, State

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
HOSTS = tuple(Host(f"app-{n}", f"192.0.2.2{n}", (3310,), 1) for n in (1, 2, 3))
ONE, TWO = Instance("app-1", 3310), Instance("app-2", 3310)
ANA = Holder("ana@desk 1", "rolling-update", "to 1.1.0", "a fix", "2026-03-01 10:00:00 UTC", "c1", 3, 5, 20.0)
DONE = Change("c0", AT, "bob@desk 2", "blue-green", "to 1.0.0", "", "done", 60.0, ())
FAILED = Change(
    id="c2",
    began=AT,
    who="ana@desk 1",
    verb="rolling-update",
    what="to 1.1.0",
    why="a fix",
    result="failed: no room",
    seconds=3.0,
    steps=(Part(AT, "check 1.1.0", "done", 1.0), Part(AT, "stage 1.1.0 on app-1", "failed: no room", 1.0)),
)
DIED = replace(FAILED, result=NOT_ENDED, seconds=None, steps=(Part(AT, "stage 1.1.0 on app-1", NOT_ENDED, None),))


def peers(**more: Peer) -> tuple[Peer, ...]:
    """As a load balancer has them; `one` in the place of the first."""
    blue = [Peer(f"{host.address}:3310", Colour.BLUE) for host in HOSTS]
    green = [Peer(f"{host.address}:3410", Colour.GREEN) for host in HOSTS]
    return (more.get("one", blue[0]), *blue[1:], *green)


def a_fleet() -> Fleet:
    """Three hosts, blue serves, green is stopped, all is well."""
    return Fleet(
        instances=tuple(Observed(Instance(h.name, 3310), State.READY, "1.0.0") for h in HOSTS),
        dispatchers=tuple(Observed(Dispatcher(h.name, 1), State.READY, "1.0.0") for h in HOSTS),
        version="1.0.0",
        idle=tuple(Observed(Instance(h.name, 3410, Colour.GREEN), State.STOPPED) for h in HOSTS),
        load_balancers=(LoadBalancer("lb-1", 0, peers=peers()), LoadBalancer("lb-2", 0, peers=peers())),
        hosts=HOSTS,
    )


WELL = Facts(a_fleet(), last=DONE, databases=("db-1",))


def with_instances(
    *names: Instance,
    state: State = State.READY,
    detail: str = "",
    version: str | None = "1.0.0",
    restarts: tuple[str, ...] = (),
) -> Facts:
    found = (
        replace(o, state=state, detail=detail, version=version, restarts=restarts) if o.what in names else o
        for o in WELL.fleet.instances
    )
    return replace(WELL, fleet=replace(WELL.fleet, instances=tuple(found)))


def with_idle(**more: object) -> Facts:
    idle = tuple(replace(o, **more) for o in WELL.fleet.idle)  # type: ignore[arg-type]
    return replace(WELL, fleet=replace(WELL.fleet, idle=idle))


def with_dispatcher(state: State, detail: str = "") -> Facts:
    first, *others = WELL.fleet.dispatchers
    return replace(WELL, fleet=replace(WELL.fleet, dispatchers=(replace(first, state=state, detail=detail), *others)))


def with_host_lost(host: str) -> Facts:
    def lost(o: Observed[Instance]) -> Observed[Instance]:
        return replace(o, state=State.UNREACHABLE, detail=GONE) if o.what.host == host else o

    fleet = WELL.fleet
    dispatchers = (replace(o, state=State.UNREACHABLE) if o.what.host == host else o for o in fleet.dispatchers)
    return replace(
        WELL,
        fleet=replace(
            fleet,
            instances=tuple(map(lost, fleet.instances)),
            idle=tuple(map(lost, fleet.idle)),
            dispatchers=tuple(dispatchers),
        ),
    )


def with_balancers(*balancers: LoadBalancer, facts: Facts = WELL) -> Facts:
    return replace(facts, fleet=replace(facts.fleet, load_balancers=balancers))


def with_weight(weight: int, by: str, why: str = "", facts: Facts = WELL, *, tripped: bool = False) -> Facts:
    """Both load balancers have it of the first instance."""
    one = Peer("192.0.2.21:3310", Colour.BLUE, weight, by, tripped=tripped)
    both = (LoadBalancer("lb-1", 0, peers=peers(one=one)), LoadBalancer("lb-2", 0, peers=peers(one=one)))
    guard = Guard({"192.0.2.21:3310": Guarded("open" if not weight else "closed", why)})
    return replace(with_balancers(*both, facts=facts), guards={"lb-1": guard, "lb-2": guard} if by == "guard" else {})


def with_guard(state: str, why: str = "", facts: Facts = WELL) -> Facts:
    """The first host's instance is found like this by a guard."""
    return replace(facts, guards={"lb-1": Guard({"192.0.2.21:3310": Guarded(state, why)})})


def split(green: float = 25, holder: Holder | None = None) -> Facts:
    """A canary's: green runs 1.1.0."""
    green_side = tuple(Observed(o.what, State.READY, "1.1.0") for o in WELL.fleet.idle)
    fleet = replace(WELL.fleet, instances=(*WELL.fleet.instances, *green_side), idle=())
    both = (LoadBalancer("lb-1", green, peers=peers()), LoadBalancer("lb-2", green, peers=peers()))
    return replace(with_balancers(*both, facts=replace(WELL, fleet=fleet)), holder=holder)


def told(facts: Facts, target: str = "") -> str:
    return "\n".join(f"{f.severity}: {f.what} | {f.why} | {f.next}" for f in explain(facts, target))


PANIC = Guard(
    {
        "192.0.2.21:3310": Guarded("closed", "refused"),
        "192.0.2.22:3310": Guarded("open", "silent"),
        "192.0.2.23:3310": Guarded("closed"),
    },
    panic=True,
)
ONE_OUT = Guard({"192.0.2.21:3310": Guarded("open", "unreachable"), "192.0.2.22:3310": Guarded("closed")})
GONE = "app-1 does not answer over SSH (timed out); try: ssh 192.0.2.21"
STRAY = Observed(Instance("app-1", 3399), State.READY, "1.0.0")
STRANGE = (*peers(), Peer("192.0.2.99:3310", Colour.BLUE))
AGREE = """curl -X PATCH http://127.0.0.1:8405/traffic -d '{"green": 0}'"""

# What was observed → the severity of the worst, and words that have to be said.
FINDINGS: dict[str, tuple[Facts, Severity, tuple[str, ...]]] = {
    "it was stopped": (
        with_instances(ONE, state=State.STOPPED),
        Severity.WRONG,
        (
            "app-1:3310 does not run.",
            "an update that found it unwell",
            "lb-1 has it in rotation. lb-2 has it in rotation.",
            "ssh app-1 sudo journalctl -n 30 -u 'amebo-web-*@3310.service'",
            "./ops.py rolling-update 1.0.0",
        ),
    ),
    "its slot failed": (
        with_instances(ONE, state=State.STOPPED, detail="slot a failed, socket active"),
        Severity.WRONG,
        ("systemd says: slot a failed, socket active.",),
    ),
    "its slot failed, and the guard took it out": (
        with_weight(0, "guard", "refused", with_instances(ONE, state=State.STOPPED, detail="slot a failed")),
        Severity.WRONG,
        ("lb-1 leaves it out (guard: refused). lb-2 leaves it out (guard: refused).",),
    ),
    "it does not answer": (
        with_instances(ONE, state=State.UNREADY, detail="no answer: TimeoutError: timed out", version=None),
        Severity.WRONG,
        ("app-1:3310 runs, and is not ready.", "It says: no answer: TimeoutError: timed out."),
    ),
    "its schema is too old": (
        with_instances(ONE, state=State.UNREADY, detail="schema too old"),
        Severity.WRONG,
        ("app-1:3310 runs on 1.0.0, and is not ready.", "lacks migrations", "./ops.py rolling-update 1.0.0"),
    ),
    "its schema is too new": (
        with_instances(ONE, state=State.UNREADY, detail="schema too new"),
        Severity.WRONG,
        ("left its release behind",),
    ),
    "it is draining": (
        with_instances(ONE, state=State.DRAINING, detail="draining"),
        Severity.UNSETTLED,
        ("app-1:3310 is about to end",),
    ),
    "a dispatcher was stopped": (
        with_dispatcher(State.STOPPED),
        Severity.WRONG,
        ("app-1/dispatcher-1 does not run.", "the others deliver", "amebo-dispatcher@1.service"),
    ),
    "a host is away": (
        with_host_lost("app-1"),
        Severity.WRONG,
        (
            "app-1 cannot be asked; nothing is known of app-1:3310, app-1/dispatcher-1, app-1:3410.",
            GONE,
            "--skip app-1",
        ),
    ),
    "a host is away and the guard says that it serves": (
        with_guard("closed", facts=with_host_lost("app-1")),
        Severity.WRONG,
        ("SSH alone may be the matter",),
    ),
    "a host is away for the guard, too": (
        replace(with_host_lost("app-1"), guards={"lb-1": ONE_OUT}),
        Severity.WRONG,
        ("no life in it, either",),
    ),
    "one misses the database": (
        with_instances(ONE, state=State.UNREADY, detail=DATABASE),
        Severity.WRONG,
        ("app-1:3310 cannot reach the database.", "The others reach it", "ssh app-1 sudo journalctl"),
    ),
    "the database is away": (
        replace(
            with_instances(ONE, TWO, Instance("app-3", 3310), state=State.UNREADY, detail=DATABASE),
            fleet=replace(
                with_instances(ONE, TWO, Instance("app-3", 3310), state=State.UNREADY, detail=DATABASE).fleet,
                dispatchers=(),
            ),
        ),
        Severity.WRONG,
        ("app-1:3310, app-2:3310, app-3:3310 cannot reach", "All that answer say so", "ssh db-1 sudo systemctl"),
    ),
    "an update stopped part-way": (
        with_instances(ONE, version="1.1.0"),
        Severity.UNSETTLED,
        (
            "1.1.0 on app-1:3310.",
            "the inventory asks for 1.0.0",
            "To go on: ./ops.py rolling-update 1.1.0\nTo go back: ./ops.py rolling-update 1.0.0",
        ),
    ),
    "the inventory asks for another version": (
        replace(WELL, fleet=replace(WELL.fleet, version="1.1.0")),
        Severity.UNSETTLED,
        ("The whole fleet runs 1.0.0, and the inventory asks for 1.1.0.", "./ops.py rolling-update 1.1.0\n"),
    ),
    "the inventory says no version": (
        replace(WELL, fleet=replace(WELL.fleet, version=None)),
        Severity.UNSETTLED,
        ("does not say which version",),
    ),
    "the guard took it out": (
        with_weight(0, "guard", "answers with errors"),
        Severity.UNSETTLED,
        ("app-1:3310: lb-1, lb-2 send it no request.", "The guard took it out: answers with errors.", "by itself"),
    ),
    "the guard gives it back": (
        with_weight(25, "guard", "silent"),
        Severity.UNSETTLED,
        ("send it 25 % of its share", "The guard is giving it back: silent."),
    ),
    "an operator took it out": (
        with_weight(0, "operator"),
        Severity.UNSETTLED,
        ("Somebody set that by hand, as operator.", """-d '{"weights": {"192.0.2.21:3310": 100}, "by": ""}'"""),
    ),
    "nginx avoids it": (
        with_weight(100, "", tripped=True),
        Severity.UNSETTLED,
        ("app-1:3310 is ready, and lb-1, lb-2 avoid it for now.", "error.log"),
    ),
    "a guard does not answer": (
        replace(WELL, guards={"lb-1": Guard(error="it does not answer: refused")}),
        Severity.UNSETTLED,
        ("The guard on lb-1 does not work", "refused.", "amebo-guard"),
    ),
    "a guard is in panic": (
        replace(WELL, guards={"lb-1": PANIC}),
        Severity.WRONG,
        ("keeps bad instances in service", " | app-1:3310: refused. | "),
    ),
    "a load balancer is away": (
        with_balancers(LoadBalancer("lb-1", detail="timed out"), WELL.fleet.load_balancers[1]),
        Severity.WRONG,
        ("lb-1 cannot be asked what it sends where.", "timed out."),
    ),
    "nobody holds the shared address": (
        with_balancers(*(LoadBalancer(name, 0, peers=peers(), holds=False) for name in ("lb-1", "lb-2"))),
        Severity.WRONG,
        ("No load balancer holds the shared address: publishers reach nobody.", "ssh lb-2 sudo journalctl"),
    ),
    "two hold the shared address": (
        with_balancers(*(LoadBalancer(name, 0, peers=peers(), holds=True) for name in ("lb-1", "lb-2"))),
        Severity.WRONG,
        ("lb-1, lb-2 hold the shared address, all at the same time.", "IP protocol 112"),
    ),
    "it is closed to publishers": (
        with_balancers(LoadBalancer("lb-1", 0, maintenance="on", peers=peers())),
        Severity.UNSETTLED,
        ("lb-1 answers publishers with 503 and Retry-After", "./ops.py maintenance-page off"),
    ),
    "publishers wait": (
        with_balancers(LoadBalancer("lb-1", 0, maintenance="queue", peers=peers())),
        Severity.UNSETTLED,
        ("lb-1 lets publishers wait",),
    ),
    "load balancers do not agree": (
        with_balancers(
            LoadBalancer("lb-1", 0, peers=peers()),
            LoadBalancer("lb-2", 100, peers=peers()),
            LoadBalancer("lb-3", 0, peers=peers()),
        ),
        Severity.WRONG,
        ("lb-1 0 %, lb-2 100 %, lb-3 0 %", f"for example on 0 %, on lb-2: {AGREE}"),
    ),
    "a canary was left": (
        split(),
        Severity.UNSETTLED,
        ("25 % of the publishers are sent to green (blue runs 1.0.0; green runs 1.1.0).", "./ops.py canary 1.1.0"),
    ),
    "a canary runs": (
        split(holder=replace(ANA, verb="canary")),
        Severity.UNSETTLED,
        ("canary of ana@desk 1 does it.", "./ops.py canary --pause, or --promote, or --abort"),
    ),
    "a canary was told to pause": (
        with_balancers(
            LoadBalancer("lb-1", 25, wish="pause", peers=peers()), facts=split(holder=replace(ANA, verb="canary"))
        ),
        Severity.UNSETTLED,
        ("It was told to pause. To end that: ./ops.py canary --go-on",),
    ),
    "a load balancer was not told of an instance": (
        with_balancers(LoadBalancer("lb-1", 0, peers=peers()[1:])),
        Severity.WRONG,
        ("lb-1 does not know app-1:3310, and sends nothing there.", "To tell it: ./ops.py scale 3"),
    ),
    "a load balancer knows an instance that is no more": (
        with_balancers(LoadBalancer("lb-1", 0, peers=STRANGE)),
        Severity.UNSETTLED,
        ("lb-1 sends requests to 192.0.2.99:3310, which the inventory does not have.",),
    ),
    "it runs out of memory": (
        with_instances(ONE, restarts=("exit-code", "oom-kill")),
        Severity.UNSETTLED,
        (
            "app-1:3310 ended 2 times within the last hour, and its host started it again.",
            "more memory than amebo_memory_max allows",
            "./ops.py rollback",
        ),
    ),
    "it ended in a way that is not known here": (
        with_instances(ONE, restarts=("start-limit-hit",)),
        Severity.UNSETTLED,
        ("app-1:3310 ended once", "systemd calls it start-limit-hit."),
    ),
    "a disk is full": (
        replace(WELL, fleet=replace(WELL.fleet, full=(("app-2", 3),))),
        Severity.UNSETTLED,
        ("app-2 has 3 MB of disk left: no release can be deployed to it.", "ssh app-2 'sudo du "),
    ),
    "one runs that the inventory does not have": (
        replace(WELL, fleet=replace(WELL.fleet, strays=(STRAY,))),
        Severity.UNSETTLED,
        ("app-1:3399 runs, and the inventory does not have it.", "stopped part-way", "To stop it: ./ops.py scale 3"),
    ),
    "one comes or goes": (
        replace(WELL, fleet=replace(WELL.fleet, strays=(STRAY,)), holder=replace(ANA, verb="scale")),
        Severity.UNSETTLED,
        ("app-1:3399 runs, and the inventory does not have it. | scale of ana@desk 1 is under way.",),
    ),
    "scaling stopped part-way": (
        replace(
            WELL,
            fleet=replace(WELL.fleet, strays=(STRAY,)),
            last=replace(DIED, verb="scale", what="to 4 instances"),
        ),
        Severity.UNSETTLED,
        ("The same command goes on from what is there: ./ops.py scale 4",),
    ),
    "somebody changes the fleet": (
        replace(WELL, holder=ANA, last=replace(DIED, id="c1")),
        Severity.UNSETTLED,
        (
            "ana@desk 1 has been changing the fleet since 2026-03-01 10:00:00 UTC: rolling-update, to 1.1.0; "
            "its step now: stage 1.1.0 on app-1.",
            "The reason given: a fix.",
            "./ops.py history --change c1",
        ),
    ),
    "the lock is not to be read": (
        replace(WELL, lock_unknown="2 of 5 hosts answer"),
        Severity.WRONG,
        ("cannot be told whether somebody changes the fleet", "2 of 5 hosts answer."),
    ),
    "the last change failed, and it shows": (
        replace(with_instances(ONE, state=State.STOPPED), last=FAILED),
        Severity.WRONG,
        (
            "unsettled: The last change was rolling-update, to 1.1.0, by ana@desk 1 at 2026-03-01 10:00:00 UTC, "
            "because: a fix: failed: no room. | It failed at this step: stage 1.1.0 on app-1.",
            "./ops.py history --change c2\nThe same command goes on from what is there: ./ops.py rolling-update 1.1.0",
        ),
    ),
    "the last change died, and it shows": (
        replace(with_instances(ONE, version="1.1.0"), last=DIED),
        Severity.UNSETTLED,
        ("not ended. | Its operator's machine died, or lost the lock. It was at this step: stage 1.1.0 on app-1.",),
    ),
    "a copy of the journal was altered": (
        replace(WELL, journal=("lb-1: line 7 was altered",)),
        Severity.UNSETTLED,
        ("The journal is not whole: lb-1: line 7 was altered.", "./ops.py journal verify"),
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_says_what_is_not_as_it_should_be_and_why_and_what_next(name: str) -> None:
    facts, severity, words = FINDINGS[name]
    findings = explain(facts)
    assert findings[0].severity is severity
    for word in words:
        assert word in told(facts)
    assert "All is well" not in sentence(facts, findings)
    assert not data(facts, findings)["well"]


@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_has_a_way_on_unless_a_change_takes_it(name: str) -> None:
    facts, _, _ = FINDINGS[name]
    for finding in explain(facts):
        assert finding.next or facts.holder
        assert not [line for line in finding.next.splitlines() if "./ops.py" in line and line.endswith(".")]


UNSAID: dict[str, tuple[Facts, tuple[str, ...]]] = {
    "no guard, no word about its life": (with_host_lost("app-1"), ("The guard",)),
    "a guard that finds it half dead": (
        with_guard("closed", "refused", with_host_lost("app-1")),
        ("it serves", "life"),
    ),
    "a host that is away is one finding": (with_host_lost("app-1"), ("app-1:3310 runs", "app-1:3310 does not run")),
    "who misses the database is one finding": (
        with_instances(ONE, state=State.UNREADY, detail=DATABASE),
        ("app-1:3310 runs",),
    ),
    "the change that runs has not ended": (replace(WELL, holder=ANA, last=replace(DIED, id="c1")), ("died",)),
    "a change of which nobody can say whether it runs": (replace(WELL, lock_unknown="away", last=DIED), ("died",)),
    "the step of another change": (replace(WELL, holder=ANA, last=replace(DIED, id="c0")), ("its step now",)),
    "a change that is no version's": (
        replace(with_instances(ONE, state=State.STOPPED), last=replace(FAILED, verb="maintenance-page", what="on")),
        ("./ops.py maintenance-page",),
    ),
}


@pytest.mark.parametrize("name", UNSAID)
def test_does_not_say_what_it_does_not_know(name: str) -> None:
    facts, words = UNSAID[name]
    said = told(facts)
    assert said
    assert [word for word in words if word in said] == []


WELL_ANYHOW: dict[str, Facts] = {
    "all is well": WELL,
    "green has all traffic": replace(
        with_balancers(LoadBalancer("lb-1", 100, peers=peers())),
        fleet=replace(
            WELL.fleet,
            instances=tuple(Observed(o.what, State.READY, "1.0.0") for o in WELL.fleet.idle),
            idle=tuple(Observed(o.what, State.STOPPED) for o in WELL.fleet.instances),
            load_balancers=(LoadBalancer("lb-1", 100, peers=peers()),),
        ),
    ),
    "the old colour is kept for a while": with_idle(state=State.READY, version="0.9.0", retires=True),
    "the old colour runs, unwell": with_idle(state=State.UNREADY, version="0.9.0", detail="schema too new"),
    "the last change failed, and left nothing behind": replace(WELL, last=FAILED),
    "the last change died, and left nothing behind": replace(WELL, last=DIED),
    "the guard watches": with_guard("closed"),
    "no change was made yet": replace(WELL, last=None),
}


@pytest.mark.parametrize("name", WELL_ANYHOW)
def test_finds_nothing_where_all_is_as_somebody_meant_it(name: str) -> None:
    facts = WELL_ANYHOW[name]
    assert explain(facts) == ()
    assert sentence(facts, ()).startswith("All is well: 3 of 3 instances are ready, on 1.0.0.")
    assert data(facts, ()) == {"well": True, "sentence": sentence(facts, ()), "findings": []}


def test_one_sentence_says_how_the_last_change_ended() -> None:
    assert sentence(WELL, ()) == (
        "All is well: 3 of 3 instances are ready, on 1.0.0. The last change was blue-green, to 1.0.0, by bob@desk 2 at "
        "2026-03-01 10:00:00 UTC: done."
    )
    facts = with_instances(ONE, state=State.STOPPED)
    assert sentence(facts, explain(facts)).startswith("1 wrong; 2 of 3 instances are ready.")


def test_the_worst_comes_first() -> None:
    facts = replace(with_instances(TWO, state=State.STOPPED), holder=ANA, journal=("lb-1: line 7 was altered",))
    assert [f.severity for f in explain(facts)] == [Severity.WRONG, Severity.UNSETTLED, Severity.UNSETTLED]


TARGETS: dict[str, tuple[Callable[[], Facts], str, tuple[str, ...], tuple[str, ...]]] = {
    "an instance": (
        lambda: WELL,
        "app-1:3310",
        ("app-1:3310 is ready on 1.0.0. | lb-1 has it in rotation. lb-2 has it in rotation.", "The last change was"),
        ("app-2", "dispatcher", "app-1:3410", "lb-1 sends"),
    ),
    "an instance that comes back": (
        lambda: with_weight(25, "guard", "silent"),
        "app-1:3310",
        ("lb-1 has it in rotation at 25 % (guard: silent)",),
        (),
    ),
    "an instance that nginx avoids": (
        lambda: with_weight(100, "", tripped=True),
        "app-1:3310",
        ("lb-2 avoids it, because requests to it failed.",),
        (),
    ),
    "since when": (
        lambda: replace(WELL, fleet=replace(WELL.fleet, instances=(replace(WELL.fleet.instances[0], since=AT),))),
        "app-1:3310",
        ("app-1:3310 is ready on 1.0.0, since 2026-03-01 10:00:00 UTC.",),
        (),
    ),
    "a host, with all that runs there": (
        lambda: WELL,
        "app-1",
        ("app-1:3310 is ready", "app-1/dispatcher-1 is ready", "app-1:3410 is stopped: green has no traffic"),
        ("app-2",),
    ),
    "a host whose name begins alike is another": (
        lambda: replace(WELL, fleet=replace(WELL.fleet, instances=(Observed(Instance("app-11", 3310), State.READY),))),
        "app-1",
        (),
        ("app-11",),
    ),
    "an instance on a host that is away": (
        lambda: with_host_lost("app-1"),
        "app-1:3310",
        ("app-1 cannot be asked",),
        ("app-2",),
    ),
    "an instance that is kept for a while": (
        lambda: with_idle(state=State.READY, version="0.9.0", retires=True),
        "app-1:3410",
        ("like all of green; it is ready on 0.9.0", "its host stops it soon", "./ops.py rollback"),
        ("app-2",),
    ),
    "an instance that nobody is going to stop": (
        lambda: with_idle(state=State.READY, version="0.9.0"),
        "app-1:3410",
        ("Nothing is going to stop it.",),
        (),
    ),
    "a load balancer": (
        lambda: with_weight(0, "operator"),
        "lb-2",
        ("lb-2 sends all traffic to blue", "app-1:3310: lb-1, lb-2 send it no request"),
        ("app-2",),
    ),
    "the database's host": (lambda: WELL, "db-1", ("6 of 6 processes say that they reach it",), ("app-1",)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_tells_all_of_what_was_asked_for_and_of_nothing_else(name: str) -> None:
    facts, target, words, others = TARGETS[name]
    said = told(facts(), target)
    assert [word for word in words if word not in said] == []
    assert [other for other in others if other in said] == []


def test_a_change_that_runs_explains_several_versions() -> None:
    moving = replace(with_instances(ONE, version="1.1.0"), holder=ANA)
    assert [f.what for f in explain(moving) if "Several versions" in f.what] == []
    assert [f.what for f in explain(replace(moving, holder=None)) if "Several versions" in f.what]


def test_the_same_weight_on_all_load_balancers_is_one_finding() -> None:
    assert [f.about for f in explain(with_weight(0, "guard", "refused"))] == [("app-1:3310", "lb-1", "lb-2")]


def test_an_instance_that_is_down_needs_no_second_finding_for_the_guard() -> None:
    facts = with_weight(0, "guard", "refused", with_instances(ONE, state=State.STOPPED))
    assert len(explain(facts)) == 1


def test_nothing_of_a_load_balancer_that_is_away_is_taken_for_missing() -> None:
    facts = with_balancers(LoadBalancer("lb-1", detail="timed out"))
    assert "does not know" not in told(facts)


def test_for_json_a_finding_is_its_fields() -> None:
    facts = replace(WELL, journal=("lb-1: line 7 was altered",))
    (found,) = data(facts, explain(facts))["findings"]
    assert Finding(**found) == explain(facts)[0]
    assert found["severity"] == "unsettled"
