"""The use cases of registering: applications, their actions, who may do what with these, and who subscribes to them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from app import compatibility, credentials, jsontext, rules, schema
from app.errors import Conflict, Forbidden, Invalid, NotFound, Violation
from app.model import (
    Action,
    Application,
    Compatibility,
    Endpoint,
    Filters,
    Grant,
    Item,
    Json,
    Lifecycle,
    Listing,
    Page,
    Permission,
    Principal,
    Registration,
    Subscription,
)
from app.ports import Storage


@dataclass(frozen=True)
class Wish:
    """A subscription as its subscriber wants it."""

    application: str
    action: str
    handler: str
    max_retries: int = 5
    description: str = ""
    active: bool = True
    rate_limit: float | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Checked:
    """What would become of a payload, and of a schema; None for what was not asked."""

    payload: tuple[Violation, ...] | None
    schemata: tuple[Violation, ...] | None
    breaks: tuple[Violation, ...] | None


class Registry:
    """Who publishes what to whom; `refusal` says why a URL may not be delivered to, or None."""

    def __init__(self, storage: Storage, refusal: Callable[[str], str | None] = lambda _: None) -> None:
        self._storage = storage
        self._refusal = refusal

    def register(
        self, principal: Principal, name: str, address: str, secret: str | None, description: str
    ) -> Registration:
        """A new application, and its API key, which is not stored."""
        _must_administer(principal, "registers applications")
        self._refuse("address", address)
        apikey = credentials.new_apikey()
        application = Application(
            application=name,
            address=address,
            secret=secret or credentials.new_secret(),
            apikey_hash=credentials.apikey_hash(apikey),
            description=description,
            active=True,
            timestamped=datetime.now(UTC),
        )
        return Registration(self._storage.add_application(application, principal.label), apikey)

    def application(self, principal: Principal, name: str) -> Application:
        _must_own(principal, name)
        return _found(self._storage.application(name), f"application {name!r}")

    def applications(self, principal: Principal, filters: Filters, page: Page) -> Listing[Application]:
        found = self._storage.applications(rules.only_own(principal, filters), page)
        return rules.listing(found, page, lambda application: application.application)

    def change_application(self, principal: Principal, name: str, address: str, description: str) -> Application:
        application = self.application(principal, name)
        self._refuse("address", address)
        changed = replace(application, address=address, description=description)
        return self._save(principal, changed, "change application")

    def switch_application(self, principal: Principal, name: str, *, active: bool) -> Application:
        """An inactive application neither publishes nor receives; what it would have received waits for it."""
        _must_administer(principal, "switches applications on and off")
        if name == rules.SYSTEM:
            raise Conflict("this application is Amebo itself")
        application = self.application(principal, name)
        verb = "switch application on" if active else "switch application off"
        return self._save(principal, replace(application, active=active), verb)

    def rotate_secret(self, principal: Principal, name: str, secret: str | None) -> Application:
        """A new secret; the one before signs and verifies beside it for a day."""
        application = self.application(principal, name)
        fresh = secret or credentials.new_secret()
        if fresh == application.secret:
            raise Conflict("this is the secret already; give another one, or none for a new one")
        changed = replace(application, secret=fresh, previous_secret=application.secret, rotated=datetime.now(UTC))
        return self._save(principal, changed, "rotate secret")

    def renew_apikey(self, principal: Principal, name: str) -> Registration:
        """A new API key; the one before is good no longer."""
        application = self.application(principal, name)
        apikey = credentials.new_apikey()
        changed = replace(application, apikey_hash=credentials.apikey_hash(apikey))
        return Registration(self._save(principal, changed, "renew API key"), apikey)

    def remove_application(self, principal: Principal, name: str) -> None:
        _must_administer(principal, "removes applications")
        if not self._storage.remove_application(name, principal.label):
            raise NotFound(f"there is no application {name!r}")

    def add_action(
        self, principal: Principal, name: str, application: str, schemata: Json, compatible: Compatibility
    ) -> Action:
        _must_own(principal, application)
        if name.startswith(f"{rules.SYSTEM}."):
            raise Conflict(f"actions whose names begin with {rules.SYSTEM!r} are Amebo's own")
        _check_schema(schemata)
        if self._storage.application(application) is None:
            raise Invalid("it names an unknown application", (Violation("application", "is not registered"),))
        action = Action(name, application, schemata, 1, datetime.now(UTC), compatible)
        return self._storage.add_action(action, principal.label)

    def action(self, name: str) -> Action:
        return _found(self._storage.action(name), f"action {name!r}")

    def actions(self, filters: Filters, page: Page) -> Listing[Action]:
        return rules.listing(self._storage.actions(filters, page), page, lambda action: action.action)

    def change_action(
        self, principal: Principal, name: str, schemata: Json, compatible: Compatibility | None
    ) -> Action:
        """Another schema, if it does not break the compatibility that was promised; the same one is no new version."""
        action = self._own_action(principal, name)
        _check_schema(schemata)
        breaks = compatibility.breaks(action.schemata, schemata, action.compatibility)
        if breaks:
            raise Conflict(f"the schema is not {action.compatibility} compatible with version {action.version}", breaks)
        changed = replace(action, schemata=schemata, compatibility=compatible or action.compatibility)
        if jsontext.canonical(schemata) != jsontext.canonical(action.schemata):  # to Python, 1 and true are the same
            changed = replace(changed, version=action.version + 1)
        saved = self._storage.save_action(changed, principal.label, "change action")
        return _found(saved, f"action {name!r}")

    def move_action(self, principal: Principal, name: str, status: Lifecycle | None, successor: str | None) -> Action:
        """Along its lifecycle; a successor is an action that is there."""
        action = self._own_action(principal, name)
        if successor is not None and (successor == name or self._storage.action(successor) is None):
            raise Invalid("the successor cannot follow", (Violation("successor", "is not another registered action"),))
        moved = replace(action, status=status or action.status, successor=successor or action.successor)
        return _found(self._storage.save_action(moved, principal.label, f"set {moved.status}"), f"action {name!r}")

    def check_action(self, name: str, payload: Json | None, schemata: Json | None) -> Checked:
        """Would this payload pass, would this schema be accepted; nothing is written."""
        action = self.action(name)
        unusable = None if schemata is None else schema.schema_violations(schemata)
        against = action.schemata if schemata is None or unusable else schemata
        return Checked(
            payload=None if payload is None else schema.compiled(against).violations(payload, "payload"),
            schemata=unusable,
            breaks=None
            if schemata is None or unusable
            else compatibility.breaks(action.schemata, schemata, action.compatibility),
        )

    def remove_action(self, principal: Principal, name: str) -> None:
        self._own_action(principal, name)
        self._storage.remove_action(name, principal.label)

    def grant(self, principal: Principal, action: str, application: str, permission: Permission) -> Grant:
        self._may_grant(principal, action)
        if application == self.action(action).application:
            raise Conflict(f"application {application!r} owns {action!r}, and may do both without a grant")
        if self._storage.application(application) is None:
            raise Invalid("it names an unknown application", (Violation("application", "is not registered"),))
        return self._storage.grant(Grant(action, application, permission, datetime.now(UTC)), principal.label)

    def grants(self, principal: Principal, action: str) -> tuple[Grant, ...]:
        self._may_grant(principal, action)
        return self._storage.grants(action)

    def revoke(self, principal: Principal, action: str, application: str, permission: Permission) -> None:
        self._may_grant(principal, action)
        if not self._storage.revoke(action, application, permission, principal.label):
            raise NotFound(f"application {application!r} has no grant to {permission} {action!r}")

    def subscribe(self, principal: Principal, wish: Wish) -> Subscription:
        """Subscribing to the same again revives it, with what it missed while it was off but had been paused.

        An application subscribes to its own actions and to those that it was granted to read.
        """
        _must_own(principal, wish.application)
        application, action = self._storage.application(wish.application), self._storage.action(wish.action)
        unknown = [Violation("application", "is not registered")] if application is None else []
        unknown += [Violation("action", "is not registered")] if action is None else []
        if application is None or action is None:
            raise Invalid("it names what is not registered", tuple(unknown))
        self._may_receive(principal, action, wish.application)
        self._refuse("handler", rules.handler_url(application.address, wish.handler))
        now = datetime.now(UTC)
        subscription = Subscription(subscription=rules.uuid7(now, secrets.randbits(62)), timestamped=now, **vars(wish))
        return self._storage.subscribe(subscription, principal.label)

    def subscription(self, principal: Principal, subscription: UUID) -> Subscription:
        found = self._storage.subscription(subscription)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no subscription {subscription}")
        return found

    def subscriptions(self, principal: Principal, filters: Filters, page: Page) -> Listing[Subscription]:
        found = self._storage.subscriptions(rules.only_own(principal, filters), page)
        return rules.listing(found, page, lambda subscription: str(subscription.subscription))

    def change_subscription(self, principal: Principal, changed: Subscription) -> Subscription:
        """Switching it off is always let through; what is on must be allowed to receive, and to be delivered to."""
        application = self.application(principal, changed.application)
        if changed.active:
            self._may_receive(principal, self.action(changed.action), changed.application)
            self._refuse("handler", rules.handler_url(application.address, changed.handler))
        saved = self._storage.save_subscription(changed, principal.label)
        return _found(saved, f"subscription {changed.subscription}")

    def remove_subscription(self, principal: Principal, subscription: UUID) -> None:
        self.subscription(principal, subscription)
        self._storage.remove_subscription(subscription, principal.label)

    def endpoints(self, subscriptions: tuple[Subscription, ...]) -> dict[UUID, Endpoint]:
        """How it goes with the handlers of subscriptions that somebody may see."""
        found = self._storage.endpoints([each.subscription for each in subscriptions])
        return {each.subscription: each for each in found}

    def _save(self, principal: Principal, application: Application, verb: str) -> Application:
        saved = self._storage.save_application(application, principal.label, verb)
        return _found(saved, f"application {application.application!r}")

    def _own_action(self, principal: Principal, name: str) -> Action:
        action = self.action(name)
        _must_own(principal, action.application)
        if action.application == rules.SYSTEM:
            raise Conflict(f"action {name!r} is Amebo's own and stays as it is")
        return action

    def _may_grant(self, principal: Principal, name: str) -> None:
        _must_own(principal, self.action(name).application)

    def _may_receive(self, principal: Principal, action: Action, application: str) -> None:
        if principal.administrator or action.application == application:
            return
        if action.action not in self._storage.readable(application):
            name, owner = action.action, action.application
            raise Forbidden(f"application {application!r} may not read {name!r}; its owner {owner!r} can grant it")

    def _refuse(self, field: str, url: str) -> None:
        reason = self._refusal(url)
        if reason is not None:
            raise Invalid(f"the {field} cannot be delivered to", (Violation(field, reason),))


def _must_administer(principal: Principal, does: str) -> None:
    if not principal.administrator:
        raise Forbidden(f"only an administrator {does}")


def _must_own(principal: Principal, application: str) -> None:
    if not (principal.administrator or principal.name == application):
        raise Forbidden(f"application {principal.name!r} may not act for {application!r}")


def _found(item: Item | None, what: str) -> Item:
    if item is None:
        raise NotFound(f"there is no {what}")
    return item


def _check_schema(schemata: Json) -> None:
    found = schema.schema_violations(schemata)
    if found:
        raise Invalid("it is not a schema that can be used", found)
