"""The use cases of registering: applications, their actions, and who subscribes to them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from app import credentials, rules, schema
from app.errors import Forbidden, Invalid, NotFound, Violation
from app.model import (
    Action,
    Application,
    Filters,
    Item,
    Json,
    Listing,
    Page,
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


class Registry:
    """Who publishes what to whom; `refusal` says why a URL may not be delivered to, or None."""

    def __init__(self, storage: Storage, refusal: Callable[[str], str | None] = lambda _: None) -> None:
        self._storage = storage
        self._refusal = refusal

    def register(
        self, principal: Principal, name: str, address: str, secret: str | None, description: str
    ) -> Registration:
        """A new application, and its API key, which is not stored."""
        if not principal.administrator:
            raise Forbidden("only an administrator registers applications")
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
        return Registration(self._storage.add_application(application), apikey)

    def application(self, principal: Principal, name: str) -> Application:
        _must_own(principal, name)
        return _found(self._storage.application(name), f"application {name!r}")

    def applications(self, principal: Principal, filters: Filters, page: Page) -> Listing[Application]:
        found = self._storage.applications(rules.only_own(principal, filters), page)
        return rules.listing(found, page, lambda application: application.application)

    def change_application(self, principal: Principal, name: str, address: str, description: str) -> Application:
        application = self.application(principal, name)
        self._refuse("address", address)
        saved = self._storage.save_application(replace(application, address=address, description=description))
        return _found(saved, f"application {name!r}")

    def remove_application(self, principal: Principal, name: str) -> None:
        if not principal.administrator:
            raise Forbidden("only an administrator removes applications")
        if not self._storage.remove_application(name):
            raise NotFound(f"there is no application {name!r}")

    def add_action(self, principal: Principal, name: str, application: str, schemata: Json) -> Action:
        _must_own(principal, application)
        _check_schema(schemata)
        if self._storage.application(application) is None:
            raise Invalid("it names an unknown application", (Violation("application", "is not registered"),))
        return self._storage.add_action(Action(name, application, schemata, 1, datetime.now(UTC)))

    def action(self, name: str) -> Action:
        return _found(self._storage.action(name), f"action {name!r}")

    def actions(self, filters: Filters, page: Page) -> Listing[Action]:
        return rules.listing(self._storage.actions(filters, page), page, lambda action: action.action)

    def change_action(self, principal: Principal, name: str, schemata: Json) -> Action:
        action = self.action(name)
        _must_own(principal, action.application)
        _check_schema(schemata)
        return _found(self._storage.save_action(replace(action, schemata=schemata)), f"action {name!r}")

    def remove_action(self, principal: Principal, name: str) -> None:
        _must_own(principal, self.action(name).application)
        self._storage.remove_action(name)

    def subscribe(self, principal: Principal, wish: Wish) -> Subscription:
        """Subscribing to the same again revives it, with what it missed while it was off but had been paused."""
        _must_own(principal, wish.application)
        application = self._storage.application(wish.application)
        unknown = [Violation("application", "is not registered")] if application is None else []
        unknown += [Violation("action", "is not registered")] if self._storage.action(wish.action) is None else []
        if application is None or unknown:
            raise Invalid("it names what is not registered", tuple(unknown))
        self._refuse("handler", rules.handler_url(application.address, wish.handler))
        now = datetime.now(UTC)
        identity = rules.uuid7(now, secrets.randbits(62))
        return self._storage.subscribe(Subscription(subscription=identity, timestamped=now, **vars(wish)))

    def subscription(self, principal: Principal, subscription: UUID) -> Subscription:
        found = self._storage.subscription(subscription)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no subscription {subscription}")
        return found

    def subscriptions(self, principal: Principal, filters: Filters, page: Page) -> Listing[Subscription]:
        found = self._storage.subscriptions(rules.only_own(principal, filters), page)
        return rules.listing(found, page, lambda subscription: str(subscription.subscription))

    def change_subscription(self, principal: Principal, changed: Subscription) -> Subscription:
        application = self.application(principal, changed.application)
        self._refuse("handler", rules.handler_url(application.address, changed.handler))
        return _found(self._storage.save_subscription(changed), f"subscription {changed.subscription}")

    def remove_subscription(self, principal: Principal, subscription: UUID) -> None:
        self.subscription(principal, subscription)
        self._storage.remove_subscription(subscription)

    def _refuse(self, field: str, url: str) -> None:
        reason = self._refusal(url)
        if reason is not None:
            raise Invalid(f"the {field} cannot be delivered to", (Violation(field, reason),))


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
