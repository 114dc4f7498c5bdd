"""Applications, actions, grants, subscriptions and the audit in PostgreSQL."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row, kwargs_row

from app import rules
from app.errors import Conflict
from app.model import (
    Action,
    Application,
    AuditEntry,
    Compatibility,
    Filters,
    Grant,
    Lifecycle,
    Page,
    Permission,
    Subscription,
)
from app.storage.postgres.database import AsCompactJson, Database, audit, in_use, row
from app.storage.sql import QUERIES

Found = TypeVar("Found")


class PostgresRegistrations(Database):
    """The port Registrations."""

    def revision(self) -> int:
        return int(self._one("get_registry", {}, dict_row)["revision"])

    def add_application(self, application: Application, by: str) -> Application:
        name = application.application
        details, parameters = rules.public(application), vars(application)
        added = self._change(by, "register application", name, details, reading("add_application", parameters))
        return Application(**_or_conflict(added, f"application {name!r} is already registered"))

    def application(self, name: str) -> Application | None:
        return self._find("get_application", {"application": name}, class_row(Application))

    def application_by_apikey(self, apikey_hash: bytes) -> Application | None:
        return self._find("get_application_by_apikey", {"apikey_hash": apikey_hash}, class_row(Application))

    def applications(self, filters: Filters, page: Page) -> tuple[Application, ...]:
        return self._list("list_applications", filters, page, class_row(Application))

    def save_application(self, application: Application, by: str, verb: str) -> Application | None:
        def save(connection: Connection[Any]) -> Application | None:
            saved = row(connection, "save_application", vars(application))
            if saved is not None and saved["active"]:
                connection.execute(QUERIES["resume_application"].encode(), {"application": application.application})
            return None if saved is None else Application(**saved)

        return self._change(by, verb, application.application, rules.public(application), save)

    def remove_application(self, name: str, by: str) -> bool:
        with in_use(f"application {name!r} still owns actions or has had subscriptions"):
            remove = reading("remove_application", {"application": name})
            return self._change(by, "remove application", name, {}, remove) is not None

    def add_action(self, action: Action, by: str) -> Action:
        add = reading("add_action", _with_json(action))
        with in_use(f"application {action.application!r} was removed at the same moment"):
            added = self._change(by, "register action", action.action, rules.public(action), add)
        return _action(**_or_conflict(added, f"action {action.action!r} is already registered"))

    def action(self, name: str) -> Action | None:
        return self._find("get_action", {"action": name}, kwargs_row(_action))

    def actions(self, filters: Filters, page: Page) -> tuple[Action, ...]:
        return self._list("list_actions", filters, page, kwargs_row(_action))

    def save_action(self, action: Action, by: str, verb: str) -> Action | None:
        def save(connection: Connection[Any]) -> Action | None:
            current = row(connection, "lock_action", {"action": action.action})
            if current is None:
                return None
            is_next, is_same = action.version - current["version"] == 1, action.version == current["version"]
            if not (is_next or (is_same and action.schemata == current["schemata"])):
                raise Conflict("the action got another schema at the same moment; look at it and try again")
            return _action(**(row(connection, "save_action", _with_json(action)) or {}))

        return self._change(by, verb, action.action, rules.public(action), save)

    def remove_action(self, name: str, by: str) -> bool:
        with in_use(f"action {name!r} has or has had subscriptions"):
            remove = reading("remove_action", {"action": name})
            return self._change(by, "remove action", name, {}, remove) is not None

    def grant(self, grant: Grant, by: str) -> Grant:
        add = reading("grant", vars(grant))
        with in_use("the action or the application was removed at the same moment"):
            return _grant(**(self._change(by, "grant", grant.action, rules.public(grant), add) or {}))

    def grants(self, action: str) -> tuple[Grant, ...]:
        return self._all("list_grants", {"action": action}, kwargs_row(_grant))

    def revoke(self, action: str, application: str, permission: Permission, by: str) -> bool:
        wanted = {"action": action, "application": application, "permission": permission}
        return self._change(by, "revoke", action, wanted, reading("revoke", wanted)) is not None

    def subscribe(self, subscription: Subscription, by: str) -> Subscription:
        with in_use("the action or the application was removed at the same moment"):
            return _or_conflict(self._set_up("subscribe", subscription, by), "the subscription cannot be stored")

    def subscription(self, subscription: UUID) -> Subscription | None:
        return self._find("get_subscription", {"subscription": subscription}, class_row(Subscription))

    def subscriptions(self, filters: Filters, page: Page) -> tuple[Subscription, ...]:
        return self._list("list_subscriptions", filters, page, class_row(Subscription))

    def save_subscription(self, subscription: Subscription, by: str) -> Subscription | None:
        with in_use("another subscription of the application sends this action to this handler"):
            return self._set_up("save_subscription", subscription, by)

    def remove_subscription(self, subscription: UUID, by: str) -> bool:
        remove = reading("remove_subscription", {"subscription": subscription})
        return self._change(by, "unsubscribe", str(subscription), {}, remove) is not None

    def audit(self, after: int, most: int) -> tuple[AuditEntry, ...]:
        return self._all("list_audit", {"after": after, "most": most}, kwargs_row(_entry))

    def audit_head(self) -> tuple[int, bytes]:
        head = self._one("get_audit_head", {}, dict_row)
        return head["entries"], head["hash"]

    def _set_up(self, query: str, subscription: Subscription, by: str) -> Subscription | None:
        """Two statements, because the second must see what paused while the first waited for the row.

        The audit names what was stored: subscribing again keeps the subscription's id.
        """
        with self._connection() as connection, connection.transaction():
            saved = row(connection, query, vars(subscription))
            if saved is None:
                return None
            kept = Subscription(**saved)
            if kept.active:
                connection.execute(QUERIES["resume"].encode(), {"subscription": kept.subscription})
            verb, subject, details = query.replace("_", " "), str(kept.subscription), rules.public(kept)
            audit(connection, AuditEntry(0, datetime.now(UTC), by, verb, subject, details))
            return kept


def reading(query: str, parameters: Mapping[str, Any]) -> Callable[[Connection[Any]], dict[str, Any] | None]:
    """Work that is one statement."""
    return lambda connection: row(connection, query, parameters)


def _or_conflict(found: Found | None, message: str) -> Found:
    if found is None:
        raise Conflict(message)
    return found


def _with_json(action: Action) -> dict[str, Any]:
    return {**vars(action), "schemata": AsCompactJson(action.schemata)}


def _action(**found: Any) -> Action:  # noqa: ANN401  # a row, as it comes
    kinds = {"compatibility": Compatibility(found["compatibility"]), "status": Lifecycle(found["status"])}
    return Action(**{**found, **kinds})


def _entry(**found: Any) -> AuditEntry:  # noqa: ANN401
    """In UTC, as it was hashed, whatever the time zone of the session."""
    return AuditEntry(**{**found, "timestamped": found["timestamped"].astimezone(UTC)})


def _grant(**found: Any) -> Grant:  # noqa: ANN401
    return Grant(**{**found, "permission": Permission(found["permission"])})
