"""The use case of publishing: one event or a thousand, each checked, then stored together."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app import rules
from app.catalogue import Catalogue, Catalogues, Known, Lookup
from app.errors import AmeboError, Conflict, Forbidden, Invalid, NotFound, Unavailable, Violation
from app.model import Action, Json, Lifecycle, Principal, Publication, Published

LATEST_SLEEP = timedelta(days=365)
TRIES = 10  # at a registry that changes each time between checking and storing
Commit = Callable[[Sequence[Publication]], tuple[Published | None, ...]]
Outcome = Published | AmeboError


@dataclass(frozen=True)
class Draft:
    """An event as its publisher wrote it; `request` is the load balancer's id of the request, unique within it."""

    action: str
    payload: Json
    metadata: Json
    deduper: str | None = None
    sleep_until: float | str | None = None
    request: str | None = None


class Publisher:
    """Takes events in. `commit` stores them; `wake` is called after some that made gists, `count` for each request."""

    def __init__(
        self,
        catalogues: Catalogues,
        commit: Commit,
        wake: Callable[[], None] = lambda: None,
        count: Callable[[Sequence[Published]], None] = lambda _: None,
    ) -> None:
        self._catalogues = catalogues
        self._commit = commit
        self._wake = wake
        self._count = count

    def publish(self, identify: Callable[[Lookup], Principal], draft: Draft) -> Published:
        """Store an event once for each idempotency key, and its gists with it; it is durable when this returns."""
        (outcome,) = self.publish_all(identify, (draft,))
        if isinstance(outcome, AmeboError):
            raise outcome
        return outcome

    def publish_all(self, identify: Callable[[Lookup], Principal], drafts: Sequence[Draft]) -> tuple[Outcome, ...]:
        """One outcome each, in order; one that is refused does not keep the others from being stored.

        `identify` finds out who asks, and raises when the credentials are not good.
        """
        outcomes: dict[int, Outcome] = {}
        catalogue = self._catalogues.present()
        for _ in range(TRIES):
            left = [place for place in range(len(drafts)) if place not in outcomes]
            if not self._pass(catalogue, identify, drafts, left, outcomes):
                break
            catalogue = self._catalogues.after(catalogue)
        else:
            raise Unavailable("applications and actions keep changing; try again in a moment")
        published = [each for each in outcomes.values() if isinstance(each, Published)]
        if any(each.event.fanout and not each.duplicate for each in published):
            self._wake()
        self._count(published)
        return tuple(outcomes[place] for place in range(len(drafts)))

    def deprecated(self, action: str) -> Action | None:
        """The action, where it is deprecated; so that its publisher learns of it with the answer."""
        known = self._catalogues.present().action(action)
        return known.action if known and known.action.status is Lifecycle.DEPRECATED else None

    def _pass(
        self,
        catalogue: Catalogue,
        identify: Callable[[Lookup], Principal],
        drafts: Sequence[Draft],
        left: list[int],
        outcomes: dict[int, Outcome],
    ) -> bool:
        """Check and store what is left; True when the catalogue turned out to be stale, and refused nothing."""
        checked: dict[int, Publication] = {}
        refused: dict[int, Outcome] = {}
        try:
            principal = identify(catalogue)
            for place in left:
                try:
                    checked[place] = _checked(catalogue, principal, drafts[place])
                except AmeboError as error:
                    refused[place] = error
        except Unavailable:
            raise
        except AmeboError:
            if catalogue.is_current():
                raise
            return True
        if refused and not catalogue.is_current():
            return True
        outcomes.update(refused)
        if not checked:
            return False
        stored = dict(zip(checked, self._commit(tuple(checked.values())), strict=True))
        outcomes.update({place: _outcome(checked[place], each) for place, each in stored.items() if each is not None})
        return None in stored.values()


def _outcome(publication: Publication, published: Published) -> Outcome:
    if published.same_content:
        return published
    what = f"the deduper {publication.deduper!r}" if publication.deduper else "this request's id"
    return Conflict(f"{what} was used before, for event {published.event.event}, which has another content")


def _checked(catalogue: Catalogue, principal: Principal, draft: Draft) -> Publication:
    known = _publishable(catalogue.action(draft.action), principal, draft.action)
    found = known.check(draft.payload, "payload")
    if found:
        raise Invalid(f"the payload does not satisfy the schema of {draft.action!r}", found)
    now = datetime.now(UTC)
    key = _key(draft)
    return Publication(
        event=rules.uuid7(now, random.getrandbits(62)),  # to be unique, not to be secret
        action=draft.action,
        application=known.action.application,
        payload=draft.payload,
        metadata=draft.metadata,
        deduper=draft.deduper,
        sleep_until=_wake_time(draft.sleep_until, now),
        publisher=principal.label,
        key=key,
        digest=rules.content_digest(draft.action, draft.payload, draft.metadata, draft.sleep_until) if key else b"",
        lane=rules.lane(draft.metadata),
        revision=catalogue.revision,
    )


def _publishable(known: Known | None, principal: Principal, name: str) -> Known:
    if known is None:
        raise NotFound(f"there is no action {name!r}; register it with POST /v1/actions")
    if not (principal.administrator or principal.name in (known.action.application, *known.publishers)):
        raise Forbidden(f"application {principal.name!r} may not publish {name!r}; its owner can grant it")
    if known.action.status is Lifecycle.RETIRED:
        go_on = f"; publish {known.action.successor!r} instead" if known.action.successor else ""
        raise Conflict(f"action {name!r} is retired{go_on}")
    return known


def _key(draft: Draft) -> str | None:
    """The publisher's own key, else the load balancer's for this request, else none."""
    if draft.deduper:
        return f"deduper:{draft.deduper}"
    return f"request:{draft.request}" if draft.request else None


def _wake_time(sleep_until: float | str | None, now: datetime) -> datetime | None:
    """Seconds from now, or an ISO time; at most a year away: PostgreSQL keeps times that Python cannot read back."""
    if sleep_until is None:
        return None
    try:
        time = now + timedelta(seconds=sleep_until) if not isinstance(sleep_until, str) else _parse(sleep_until)
        if abs(time - now) <= LATEST_SLEEP:
            return time
    except (ValueError, OverflowError):
        pass
    raise Invalid(
        "sleep_until cannot be used", (Violation("sleep_until", "is not seconds or an ISO 8601 time within a year"),)
    )


def _parse(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
