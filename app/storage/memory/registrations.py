"""Applications, actions, grants, subscriptions and the audit in memory."""

from dataclasses import replace
from uuid import UUID

from app import rules
from app.errors import Conflict
from app.model import Action, Application, AuditEntry, Breaker, Endpoint, Filters, Grant, Page, Permission, Subscription
from app.storage.memory.state import MemoryState, selected


class MemoryRegistrations(MemoryState):
    """The port Registrations."""

    def revision(self) -> int:
        return self._revision

    def add_application(self, application: Application, by: str) -> Application:
        with self._lock:
            if application.application in self._applications:
                raise Conflict(f"application {application.application!r} is already registered")
            self._applications[application.application] = application
            self._changed(by, "register application", application.application, rules.public(application))
            return application

    def application(self, name: str) -> Application | None:
        return self._applications.get(name)

    def application_by_apikey(self, apikey_hash: bytes) -> Application | None:
        return next((each for each in self._applications.values() if each.apikey_hash == apikey_hash), None)

    def applications(self, filters: Filters, page: Page) -> tuple[Application, ...]:
        return selected(self._applications.values(), "application", filters, page)

    def save_application(self, application: Application, by: str, verb: str) -> Application | None:
        with self._lock:
            if application.application not in self._applications:
                return None
            self._applications[application.application] = application
            for subscription in self._subscriptions.values():
                if subscription.application == application.application and self._receives(subscription):
                    self._resume(subscription)
            self._changed(by, verb, application.application, rules.public(application))
            return application

    def remove_application(self, name: str, by: str) -> bool:
        with self._lock:
            owners = {each.application for each in self._actions.values()}
            if name in owners | {each.application for each in self._subscriptions.values()}:
                raise Conflict(f"application {name!r} still owns actions or has had subscriptions")
            if self._applications.pop(name, None) is None:
                return False
            self._grants = {key: grant for key, grant in self._grants.items() if grant.application != name}
            self._changed(by, "remove application", name, {})
            return True

    def add_action(self, action: Action, by: str) -> Action:
        with self._lock:
            if action.action in self._actions:
                raise Conflict(f"action {action.action!r} is already registered")
            self._must_know(action.application)
            self._actions[action.action] = action
            self._changed(by, "register action", action.action, rules.public(action))
            return action

    def action(self, name: str) -> Action | None:
        return self._actions.get(name)

    def actions(self, filters: Filters, page: Page) -> tuple[Action, ...]:
        return selected(self._actions.values(), "action", filters, page)

    def save_action(self, action: Action, by: str, verb: str) -> Action | None:
        with self._lock:
            current = self._actions.get(action.action)
            if current is None:
                return None
            is_next, is_same = action.version - current.version == 1, action.version == current.version
            if not (is_next or (is_same and action.schemata == current.schemata)):
                raise Conflict("the action got another schema at the same moment; look at it and try again")
            self._actions[action.action] = action
            self._changed(by, verb, action.action, rules.public(action))
            return action

    def remove_action(self, name: str, by: str) -> bool:
        with self._lock:
            if any(each.action == name for each in self._subscriptions.values()):
                raise Conflict(f"action {name!r} has or has had subscriptions")
            if self._actions.pop(name, None) is None:
                return False
            self._grants = {key: grant for key, grant in self._grants.items() if grant.action != name}
            self._changed(by, "remove action", name, {})
            return True

    def grant(self, grant: Grant, by: str) -> Grant:
        with self._lock:
            self._must_know(grant.application, grant.action)
            kept = self._grants.setdefault((grant.action, grant.application, grant.permission), grant)
            self._changed(by, "grant", grant.action, rules.public(grant))
            return kept

    def grants(self, action: str) -> tuple[Grant, ...]:
        return tuple(grant for key, grant in sorted(self._grants.items()) if grant.action == action)

    def revoke(self, action: str, application: str, permission: Permission, by: str) -> bool:
        with self._lock:
            if self._grants.pop((action, application, permission), None) is None:
                return False
            for each in list(self._subscriptions.values()):
                if permission is Permission.READ and (each.action, each.application) == (action, application):
                    self._subscriptions[each.subscription] = replace(each, active=False)
            wanted = {"action": action, "application": application, "permission": permission.value}
            self._changed(by, "revoke", action, wanted)
            return True

    def subscribe(self, subscription: Subscription, by: str) -> Subscription:
        with self._lock:
            self._must_know(subscription.application, subscription.action)
            same = self._same(subscription)
            if same is not None:
                subscription = replace(subscription, subscription=same.subscription, timestamped=same.timestamped)
            self._deleted.discard(subscription.subscription)
            self._endpoints.setdefault(subscription.subscription, Endpoint(subscription.subscription))
            return self._set_up(subscription, by, "subscribe")

    def subscription(self, subscription: UUID) -> Subscription | None:
        return None if subscription in self._deleted else self._subscriptions.get(subscription)

    def subscriptions(self, filters: Filters, page: Page) -> tuple[Subscription, ...]:
        there = [each for each in self._subscriptions.values() if each.subscription not in self._deleted]
        return selected(there, "subscription", filters, page)

    def save_subscription(self, subscription: Subscription, by: str) -> Subscription | None:
        with self._lock:
            if self.subscription(subscription.subscription) is None:
                return None
            same = self._same(subscription)
            if same is not None and same.subscription != subscription.subscription:
                raise Conflict("another subscription of the application sends this action to this handler")
            return self._set_up(subscription, by, "save subscription")

    def remove_subscription(self, subscription: UUID, by: str) -> bool:
        with self._lock:
            found = self.subscription(subscription)
            if found is None:
                return False
            self._subscriptions[subscription] = replace(found, active=False)
            self._deleted.add(subscription)
            self._changed(by, "unsubscribe", str(subscription), {})
            return True

    def audit(self, after: int, most: int) -> tuple[AuditEntry, ...]:
        return tuple(self._audit[after : after + most])

    def audit_head(self) -> tuple[int, bytes]:
        return len(self._audit), self._audit[-1].hash if self._audit else b""

    def _must_know(self, application: str, action: str | None = None) -> None:
        if application not in self._applications or action not in (None, *self._actions):
            raise Conflict("the action or the application was removed at the same moment")

    def _set_up(self, subscription: Subscription, by: str, verb: str) -> Subscription:
        self._subscriptions[subscription.subscription] = subscription
        if subscription.active:
            self._forgive(subscription)
            self._resume(subscription)
        self._changed(by, verb, str(subscription.subscription), rules.public(subscription))
        return subscription

    def _forgive(self, subscription: Subscription) -> None:
        """A handler that is set up anew gets a fresh chance."""
        endpoint = self._endpoints[subscription.subscription]
        if endpoint.breaker is not Breaker.CLOSED:
            self._endpoints[subscription.subscription] = Endpoint(subscription.subscription, slot=endpoint.slot)

    def _same(self, wanted: Subscription) -> Subscription | None:
        def key(each: Subscription) -> tuple[str, str, str]:
            return each.application, each.action, each.handler

        return next((each for each in self._subscriptions.values() if key(each) == key(wanted)), None)
