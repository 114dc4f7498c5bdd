"""The guard's turns: look, decide, tell nginx; again, as long as the process lives."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from . import nginx
from .decide import decide, still_meant, suspects
from .follow import Follower
from .model import Decision, Observed, Probe, State, Traffic, Try, Turn, Watch
from .probe import probe
from .report import Report, summary
from .settings import Settings
from .systemd import notify
from .tries import tally, tries

SAMPLE = 200  # times of each instance and turn, when slowness counts
log = logging.getLogger("guard")


class Guard:
    """Knows its watches and the last minute of the log; everything else it looks up in each turn."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._policy = settings, settings.policy
        self._log = Follower(Path(settings.access_log))
        self._turns: tuple[Turn, ...] = ()
        self._ejections: Counter[tuple[str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._unreadable = 0
        self.report = Report()

    async def run(self) -> None:
        """Turn until the process ends. Where it ends, nothing changes: nginx keeps the weights that it has."""
        while True:
            began = time.monotonic()
            await self.turn()
            notify(f"READY=1\nWATCHDOG=1\nSTATUS={summary(self.report)}")
            interval = self._policy.suspect_interval if self._suspects() else self._policy.interval
            await asyncio.sleep(max(0.0, began + interval - time.monotonic()))

    async def turn(self) -> None:
        """One look, one decision. Without nginx' answer there is nothing to decide; the next turn asks again."""
        try:
            traffic = await nginx.traffic(self._settings.traffic)
            decision = self._decide(traffic, await self._probe(traffic))
            if decision.changes:
                await self._change(decision, traffic)
        except (OSError, ValueError) as error:
            self._complain(
                f"nginx at {self._settings.traffic} cannot be asked or told: {str(error) or type(error).__name__}"
            )
        else:
            self._complain("")

    async def _change(self, decision: Decision, traffic: Traffic) -> None:
        """Look again first: while instances were probed, an operator may have set what the guard is about to."""
        fresh = await nginx.traffic(self._settings.traffic)
        revision = fresh.revision
        for change in still_meant(decision.changes, traffic, fresh):
            revision = await nginx.change(self._settings.traffic, change, revision)

    async def _probe(self, traffic: Traffic) -> dict[str, Probe]:
        suspected = self._suspects()
        timeouts = {
            address: self._policy.suspect_timeout if address in suspected else self._policy.probe_timeout
            for address in traffic.instances
        }
        probes = await probe(timeouts)
        self._failures.update(address for address, found in probes.items() if found.why)
        return probes

    def _suspects(self) -> frozenset[str]:
        """Nobody while all fail: asking them more often would not help them."""
        found = suspects(self._watches(), self._policy)
        return found if 2 * len(found) <= len(self._watches()) else frozenset()

    def _decide(self, traffic: Traffic, probes: Mapping[str, Probe]) -> Decision:
        now, at = time.monotonic(), time.time()
        before = self._watches()
        since = {address: at - now + watch.clean for address, watch in before.items()}
        found = tally(self._tries(), since, SAMPLE if self._policy.slow_factor else 0)
        oldest = now - max(self._policy.windows)
        self._turns = (*(turn for turn in self._turns if turn.at > oldest), Turn(now, found))
        decision = decide(Observed(traffic, probes, self._turns), before, self._policy, now)
        self._count(before, decision)
        self.report = Report(
            traffic, decision, now, at, dict(self._ejections), dict(self._failures), self._unreadable, self.report.error
        )
        return decision

    def _watches(self) -> Mapping[str, Watch]:
        return self.report.decision.watches

    def _tries(self) -> Iterator[Try]:
        for line in self._log.lines():
            try:
                yield from tries(line)
            except ValueError:
                self._unreadable += 1

    def _count(self, before: Mapping[str, Watch], decision: Decision) -> None:
        """Say what changed; counts of instances that are gone go, too."""
        for address, watch in decision.watches.items():
            was = before[address].state if address in before else State.CLOSED
            if watch.state is not was:
                log.warning("%s is %s, was %s: %s", address, watch.state.label, was.label, watch.why or "all is well")
            if watch.state is State.OPEN and was is not State.OPEN and watch.ejections:
                self._ejections[address, watch.why] += 1
        if decision.panic is not self.report.decision.panic:
            log.warning("panic: %s", _kept(decision) or "over")
        for gone in [key for key in self._ejections if key[0] not in decision.watches]:
            del self._ejections[gone]
        for left in [address for address in self._failures if address not in decision.watches]:
            del self._failures[left]

    def _complain(self, error: str) -> None:
        if error != self.report.error:
            log.warning("%s", error or "nginx answers again")
        self.report = replace(self.report, error=error)


def _kept(decision: Decision) -> str:
    bad = [f"{a} ({watch.why})" for a, watch in decision.watches.items() if watch.state is State.CLOSED and watch.why]
    return f"kept for want of better ones: {', '.join(bad)}" if bad else ""
