"""Applications, actions, grants and subscriptions, in memory and in PostgreSQL alike."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from app.errors import Conflict
from app.model import Compatibility, Filters, Grant, Lifecycle, Page, Permission, Status, Subscription
from app.ports import Storage
from app.rules import FAILED_ACTION, SYSTEM
from tests.contract import examples
from tests.contract.examples import ADMIN, NOW, action, application, claim, publish, subscription


def names(storage: Storage, filters: Filters, page: Page) -> list[str]:
    return [each.application for each in storage.applications(filters, page) if each.application != SYSTEM]


def test_registers_an_application_once(storage: Storage) -> None:
    added = storage.add_application(application("shop"), ADMIN)
    assert (added.application, added.secret, added.active) == ("shop", "a secret of shop", True)
    with pytest.raises(Conflict):
        storage.add_application(application("shop"), ADMIN)
    assert storage.application_by_apikey(b"shop") == storage.application("shop") == added
    assert storage.application_by_apikey(b"other") is storage.application("other") is None


def test_amebo_itself_is_there_from_the_start_and_nobody_has_its_key(storage: Storage) -> None:
    system, announcements = storage.application(SYSTEM), storage.action(FAILED_ACTION)
    assert system is not None
    assert announcements is not None
    assert (announcements.application, announcements.status) == (SYSTEM, Lifecycle.ACTIVE)
    with pytest.raises(Conflict):
        storage.remove_application(SYSTEM, ADMIN)


def test_saves_all_that_may_change_about_an_application(storage: Storage) -> None:
    storage.add_application(application("shop"), ADMIN)
    changed = application(
        "shop",
        address="https://shop.test",
        description="new",
        active=False,
        secret="another secret of the shop",
        apikey_hash=b"another",
        previous_secret="a secret of shop",
        rotated=NOW,
    )
    saved = storage.save_application(changed, ADMIN, "change application")
    assert saved is not None
    assert replace(saved, timestamped=NOW) == changed
    assert storage.application("shop") == storage.application_by_apikey(b"another") == saved
    assert storage.application_by_apikey(b"shop") is None
    assert storage.save_application(application("other"), ADMIN, "change application") is None


@pytest.mark.usefixtures("subscribed")
def test_keeps_what_is_still_named(storage: Storage) -> None:
    with pytest.raises(Conflict):
        storage.remove_application("shop", ADMIN)
    with pytest.raises(Conflict):
        storage.remove_action("order.placed", ADMIN)
    storage.add_application(application("idle"), ADMIN)
    storage.add_action(action("idle.action"), ADMIN)
    assert storage.remove_action("idle.action", ADMIN)
    assert not storage.remove_action("idle.action", ADMIN)
    assert storage.remove_application("idle", ADMIN)
    assert not storage.remove_application("idle", ADMIN)


UNKNOWN: dict[str, Callable[[Storage], object]] = {
    "action": lambda storage: storage.add_action(action("a", "nobody"), ADMIN),
    "grant": lambda storage: storage.grant(Grant("order.placed", "nobody", Permission.READ, NOW), ADMIN),
    "grant of nothing": lambda storage: storage.grant(Grant("nothing", "shop", Permission.READ, NOW), ADMIN),
    "subscription": lambda storage: storage.subscribe(subscription(application="nobody"), ADMIN),
    "subscription to nothing": lambda storage: storage.subscribe(subscription(action="nothing"), ADMIN),
}


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_names_something_that_was_just_removed_is_a_conflict(storage: Storage, name: str) -> None:
    before = storage.audit_head()
    with pytest.raises(Conflict):
        UNKNOWN[name](storage)
    assert storage.audit_head() == before


@pytest.mark.usefixtures("subscribed")
def test_saves_all_that_may_change_about_an_action(storage: Storage) -> None:
    changed = action(
        schemata={"type": "object", "minProperties": 1},
        version=2,
        compatibility=Compatibility.FULL,
        status=Lifecycle.DEPRECATED,
        successor="order.made",
    )
    saved = storage.save_action(changed, ADMIN, "change action")
    assert saved is not None
    assert replace(saved, timestamped=NOW) == changed
    assert storage.action("order.placed") == saved
    assert storage.save_action(action("unknown"), ADMIN, "change action") is None


@pytest.mark.parametrize(
    ("version", "minimum", "stored"),
    [(2, 1, True), (2, 2, False), (3, 3, True), (1, 1, False), (4, 4, False)],
    ids=["the same", "another of the same version", "the next", "one before", "one too far"],
)
def test_of_two_who_change_a_schema_at_one_moment_the_second_is_refused(
    storage: Storage, version: int, minimum: int, stored: bool
) -> None:
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(), ADMIN)
    second = action(version=2, schemata={"minProperties": 1})
    assert storage.save_action(second, ADMIN, "change action") is not None
    changed = action(version=version, schemata={"minProperties": minimum}, status=Lifecycle.DEPRECATED)
    if not stored:
        with pytest.raises(Conflict):
            storage.save_action(changed, ADMIN, "change action")
        changed = second
    else:
        storage.save_action(changed, ADMIN, "change action")
    found = storage.action("order.placed")
    assert found is not None
    assert (found.version, found.schemata, found.status) == (changed.version, changed.schemata, changed.status)


@pytest.mark.usefixtures("subscribed")
def test_two_changes_of_a_schema_at_one_moment_are_one_change(storage: Storage) -> None:
    barrier, refused = threading.Barrier(4), []

    def change(minimum: int) -> None:
        barrier.wait()
        try:
            storage.save_action(action(version=2, schemata={"minProperties": minimum}), ADMIN, "change action")
        except Conflict:
            refused.append(minimum)

    threads = [threading.Thread(target=change, args=[minimum]) for minimum in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = storage.action("order.placed")
    assert found is not None
    assert (len(refused), found.version) == (3, 2)
    assert found.schemata["minProperties"] not in refused


def test_lists_actions_by_what_they_are(storage: Storage) -> None:
    for name in ("shop", "bank"):
        storage.add_application(application(name), ADMIN)
    for name, owner, status in (("a", "shop", "active"), ("b", "bank", "active"), ("c", "bank", "retired")):
        storage.add_action(action(name, owner), ADMIN)
        storage.save_action(action(name, owner, status=Lifecycle(status)), ADMIN, "move")
    listed = {each.action for each in storage.actions(Filters(), Page())}
    assert listed == {"a", "b", "c", FAILED_ACTION}
    for filters, expected in (
        (Filters(application="bank"), ["b", "c"]),
        (Filters(status="retired"), ["c"]),
        (Filters(application="shop", status="retired"), []),
    ):
        assert [each.action for each in storage.actions(filters, Page())] == expected


def test_walks_a_list_forwards_and_back(storage: Storage) -> None:
    for name in ("b", "A", "c", "a-1", "d"):
        storage.add_application(application(name), ADMIN)
    assert names(storage, Filters(), Page()) == ["A", "a-1", "b", "c", "d"]  # by byte, whatever the locale
    page = Page(per_page=2)
    assert names(storage, Filters(), replace(page, key="A")) == ["a-1", "b"]  # and one more, "amebo" itself, between
    assert names(storage, Filters(), replace(page, key="amebo")) == ["b", "c", "d"]
    assert names(storage, Filters(), replace(page, key="d", backwards=True)) == ["c", "b"]
    assert names(storage, Filters(), replace(page, descending=True)) == ["d", "c", "b"]
    assert names(storage, Filters(), replace(page, descending=True, key="c", backwards=True)) == ["d"]


def test_grants_let_others_publish_and_read(storage: Storage, subscribed: Subscription) -> None:
    for name in ("bank", "zoo"):
        storage.add_application(application(name), ADMIN)
    given = storage.grant(Grant(subscribed.action, "zoo", Permission.READ, NOW), "shop")
    storage.grant(Grant(subscribed.action, "bank", Permission.READ, NOW), "shop")
    storage.grant(Grant(subscribed.action, "bank", Permission.PUBLISH, NOW), "shop")
    assert storage.grant(given, "shop") == given  # once more changes nothing
    assert [(each.application, each.permission) for each in storage.grants(subscribed.action)] == [
        ("bank", Permission.PUBLISH),
        ("bank", Permission.READ),
        ("zoo", Permission.READ),
    ]
    assert storage.readable("bank") == (subscribed.action,)
    assert (storage.readable("shop"), storage.grants("nothing")) == ((), ())
    assert storage.revoke(subscribed.action, "bank", Permission.PUBLISH, "shop")
    assert not storage.revoke(subscribed.action, "bank", Permission.PUBLISH, "shop")
    assert storage.remove_application("zoo", ADMIN)
    assert [each.application for each in storage.grants(subscribed.action)] == ["bank"]


def test_with_the_permission_to_read_goes_the_subscription(storage: Storage, subscribed: Subscription) -> None:
    storage.add_application(application("bank"), ADMIN)
    for permission in Permission:
        storage.grant(Grant(subscribed.action, "bank", permission, NOW), "shop")
    theirs = storage.subscribe(subscription(application="bank"), "bank")
    assert publish(storage).event.fanout == 2
    assert storage.revoke(subscribed.action, "bank", Permission.PUBLISH, "shop")
    assert publish(storage).event.fanout == 2
    assert storage.revoke(subscribed.action, "bank", Permission.READ, "shop")
    assert storage.subscription(theirs.subscription) == replace(theirs, active=False)
    assert storage.subscription(subscribed.subscription) == subscribed
    assert publish(storage).event.fanout == 1


def test_subscribing_again_revives_the_subscription(storage: Storage, subscribed: Subscription) -> None:
    assert storage.remove_subscription(subscribed.subscription, "shop")
    assert not storage.remove_subscription(subscribed.subscription, "shop")
    assert storage.subscription(subscribed.subscription) is None
    assert storage.subscriptions(Filters(), Page()) == ()
    assert storage.save_subscription(subscribed, "shop") is None
    assert publish(storage).event.fanout == 0
    wish = subscription(max_retries=0, description="new", rate_limit=2.5, ordered=True)
    revived = storage.subscribe(wish, "shop")
    assert revived == replace(wish, subscription=subscribed.subscription, timestamped=subscribed.timestamped)
    assert storage.subscription(subscribed.subscription) == revived
    assert publish(storage).event.fanout == 1


def test_the_audit_names_the_subscription_that_was_revived(storage: Storage, subscribed: Subscription) -> None:
    storage.subscribe(subscription(description="new"), "shop")
    entry = storage.audit(0, 100)[-1]
    assert (entry.verb, entry.subject) == ("subscribe", str(subscribed.subscription))
    assert entry.details["description"] == "new"
    assert entry.details["subscription"] == str(subscribed.subscription)


@pytest.mark.usefixtures("subscribed")
def test_two_subscriptions_do_not_share_a_handler(storage: Storage) -> None:
    other = storage.subscribe(subscription("/other"), "shop")
    with pytest.raises(Conflict):
        storage.save_subscription(replace(other, handler="/hooks"), "shop")
    assert storage.subscription(other.subscription) == other


def test_lists_subscriptions_by_what_they_are(storage: Storage, subscribed: Subscription) -> None:
    storage.add_application(application("bank"), ADMIN)
    storage.add_action(action("order.paid"), ADMIN)
    theirs = storage.subscribe(subscription(application="bank", action="order.paid"), "bank")
    assert storage.subscriptions(Filters(), Page()) == (subscribed, theirs)
    assert storage.subscriptions(Filters(application="bank"), Page()) == (theirs,)
    assert storage.subscriptions(Filters(action="order.placed"), Page()) == (subscribed,)
    assert storage.subscriptions(Filters(action="order.placed", application="bank"), Page()) == ()


CHANGES: dict[str, Callable[[Storage, Subscription], object]] = {
    "register application": lambda storage, _: storage.add_application(application("new"), ADMIN),
    "switch application off": lambda storage, _: storage.save_application(
        application("shop", active=False), ADMIN, "switch application off"
    ),
    "remove application": lambda storage, _: storage.remove_application("bank", ADMIN),
    "register action": lambda storage, _: storage.add_action(action("new"), ADMIN),
    "set retired": lambda storage, _: storage.save_action(action(status=Lifecycle.RETIRED), ADMIN, "set retired"),
    "remove action": lambda storage, _: storage.remove_action("idle", ADMIN),
    "grant": lambda storage, _: storage.grant(Grant("idle", "bank", Permission.READ, NOW), ADMIN),
    "revoke": lambda storage, _: storage.revoke("order.placed", "bank", Permission.READ, ADMIN),
    "subscribe": lambda storage, _: storage.subscribe(subscription("/new"), ADMIN),
    "save subscription": lambda storage, mine: storage.save_subscription(replace(mine, max_retries=1), ADMIN),
    "unsubscribe": lambda storage, mine: storage.remove_subscription(mine.subscription, ADMIN),
}


@pytest.mark.parametrize("verb", CHANGES)
def test_every_change_raises_the_revision_and_is_audited(storage: Storage, subscribed: Subscription, verb: str) -> None:
    storage.add_action(action("idle"), ADMIN)
    storage.add_application(application("bank"), ADMIN)
    if verb == "revoke":
        storage.grant(Grant("order.placed", "bank", Permission.READ, NOW), ADMIN)
    revision, (entries, _) = storage.revision(), storage.audit_head()
    assert CHANGES[verb](storage, subscribed)
    assert storage.revision() == revision + 1
    (entry,) = storage.audit(entries, 100)
    assert (entry.entry, entry.actor, entry.verb) == (entries + 1, ADMIN, verb)


@pytest.mark.usefixtures("subscribed")
def test_what_changes_nothing_leaves_no_entry(storage: Storage) -> None:
    revision, head = storage.revision(), storage.audit_head()
    publish(storage)
    assert not storage.remove_application("nobody", ADMIN)
    assert not storage.remove_action("nothing", ADMIN)
    assert not storage.remove_subscription(uuid4(), ADMIN)
    assert not storage.revoke("order.placed", "nobody", Permission.READ, ADMIN)
    assert storage.save_subscription(subscription(), ADMIN) is None
    assert (storage.revision(), storage.audit_head()) == (revision, head)


def test_an_application_that_is_switched_on_gets_what_waited(storage: Storage, subscribed: Subscription) -> None:
    off = storage.subscribe(subscription("/off"), "shop")
    publish(storage)
    storage.save_subscription(replace(off, active=False), "shop")
    storage.save_application(application("shop", active=False), ADMIN, "switch application off")
    assert publish(storage).event.fanout == 0
    claimed = claim(storage)
    assert {each.active for each in claimed} == {False}
    storage.complete([examples.paused(each) for each in claimed], ())
    storage.save_application(application("shop"), ADMIN, "switch application on")
    (delivery,) = claim(storage, lease=timedelta())
    assert (delivery.subscription, delivery.active) == (subscribed.subscription, True)
    assert examples.gist_of(storage, delivery).status is Status.PENDING
    (waiting,) = storage.gists(Filters(status="paused"), Page())
    assert waiting.subscription == off.subscription
