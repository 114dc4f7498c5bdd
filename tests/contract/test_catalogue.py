"""Publishing from several processes: what one changes is in force for the next event in each of the others."""

from collections.abc import Callable
from itertools import count

import pytest

from app import schema
from app.catalogue import Catalogues, Lookup
from app.credentials import apikey_hash
from app.errors import AmeboError, Conflict, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from app.model import Filters, Grant, Lifecycle, Page, Permission, Principal, Publication, Published
from app.ports import Storage
from app.publishing import TRIES, Commit, Draft, Publisher
from tests.contract.examples import ADMIN, NOW, action, application, shop

STRICT = {"type": "object", "required": ["id"]}
DRAFT = Draft("order.placed", {"text": "without an id"}, {})


def process(storage: Storage, commit: Commit | None = None) -> Publisher:
    """What one process publishes with."""
    return Publisher(
        Catalogues(storage, lambda schemata: schema.compiled(schemata).violations), commit or storage.publish
    )


def as_shop(_: Lookup) -> Principal:
    return Principal("shop")


def outcome(publisher: Publisher, draft: Draft = DRAFT, who: str = "shop") -> type[object]:
    """What came of it: the class of the error, or Published."""
    try:
        return type(publisher.publish(lambda _: Principal(who), draft))
    except AmeboError as error:
        return type(error)


Change = tuple[Callable[[Storage], object], type[object], type[object]]
CHANGES: dict[str, Change] = {
    "a schema becomes strict": (
        lambda storage: storage.save_action(action(version=2, schemata=STRICT), ADMIN, "change action"),
        Published,
        Invalid,
    ),
    "an action retires": (
        lambda storage: storage.save_action(action(status=Lifecycle.RETIRED), ADMIN, "set retired"),
        Published,
        Conflict,
    ),
    "an action is removed": (lambda storage: storage.remove_action("order.placed", ADMIN), Published, NotFound),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_in_one_process_is_in_force_in_the_next_event_of_another(storage: Storage, name: str) -> None:
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(), ADMIN)
    change, before, after = CHANGES[name]
    others = [process(storage) for _ in range(2)]
    assert [outcome(other) for other in others] == [before] * 2  # they know the registry as it was
    change(storage)
    assert [outcome(other) for other in others] == [after] * 2
    assert len(storage.events(Filters(), (), Page())) == 2


def test_what_was_refused_under_the_old_schema_passes_under_the_new(storage: Storage) -> None:
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(schemata=STRICT), ADMIN)
    other = process(storage)
    assert outcome(other) is Invalid
    storage.save_action(action(version=2, schemata={}), ADMIN, "change action")
    assert outcome(other) is Published


def test_an_action_that_was_not_there_is_there_at_once(storage: Storage) -> None:
    storage.add_application(application("shop"), ADMIN)
    other = process(storage)
    assert outcome(other) is NotFound
    storage.add_action(action(), ADMIN)
    assert outcome(other) is Published


def test_a_grant_counts_at_once_and_no_longer_than_it_stands(storage: Storage) -> None:
    shop(storage)
    storage.add_application(application("bank"), ADMIN)
    other = process(storage)
    assert outcome(other, who="bank") is Forbidden
    storage.grant(Grant("order.placed", "bank", Permission.PUBLISH, NOW), "shop")
    assert outcome(other, who="bank") is Published
    storage.revoke("order.placed", "bank", Permission.PUBLISH, "shop")
    assert outcome(other, who="bank") is Forbidden


def test_a_key_that_was_renewed_is_good_in_no_process(storage: Storage) -> None:
    old, new = apikey_hash("amebo_old"), apikey_hash("amebo_new")
    storage.add_application(application("shop", apikey_hash=old), ADMIN)
    storage.add_action(action(), ADMIN)
    other = process(storage)

    def publish(key: bytes) -> type[object]:
        def identify(lookup: Lookup) -> Principal:
            found = lookup.application_by_apikey(key)
            if found is None:
                raise Unauthenticated("the API key is not valid")
            return Principal(found.application)

        try:
            return type(other.publish(identify, DRAFT))
        except AmeboError as error:
            return type(error)

    assert (publish(old), publish(new)) == (Published, Unauthenticated)
    storage.save_application(application("shop", apikey_hash=new), ADMIN, "renew API key")
    assert (publish(old), publish(new)) == (Unauthenticated, Published)


def test_what_changes_between_checking_and_storing_is_checked_again(storage: Storage) -> None:
    shop(storage)
    done = count()

    def commit(publications: list[Publication]) -> tuple[Published | None, ...]:
        if next(done) == 0:
            storage.save_action(action(version=2, schemata=STRICT), ADMIN, "change action")
        return storage.publish(publications)

    drafts = [DRAFT, Draft("order.placed", {"id": 1}, {}), DRAFT]
    outcomes = process(storage, commit).publish_all(as_shop, drafts)  # type: ignore[arg-type]  # a list is a sequence
    assert [type(each) for each in outcomes] == [Invalid, Published, Invalid]
    assert len(storage.events(Filters(), (), Page())) == 1


def test_it_gives_up_on_a_registry_that_never_stands_still(storage: Storage) -> None:
    shop(storage)
    done = count()

    def commit(publications: object) -> tuple[Published | None, ...]:
        storage.save_application(application("shop", description=str(next(done))), ADMIN, "change application")
        return storage.publish(publications)  # type: ignore[arg-type]

    assert outcome(process(storage, commit)) is Unavailable
    assert next(done) == TRIES
    assert storage.events(Filters(), (), Page()) == ()


def test_no_event_is_stored_that_its_schema_refuses_however_often_that_changes(
    storage: Storage, in_threads: Callable[..., None]
) -> None:
    """The schema asks for the number of its own version in each event; so the events tell what was in force."""
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(schemata={"properties": {"version": {"const": 1}}}), ADMIN)
    stored: list[tuple[int, int]] = []

    def publish() -> None:
        publisher = process(storage)
        for version in range(1, 21):
            for _ in range(3):
                if outcome(publisher, Draft("order.placed", {"version": version}, {})) is Published:
                    found = storage.action("order.placed")
                    assert found is not None
                    stored.append((version, found.version))

    def change() -> None:
        for version in range(2, 21):
            schemata = {"properties": {"version": {"const": version}}}
            storage.save_action(action(version=version, schemata=schemata), ADMIN, "change action")

    in_threads(publish, publish, change)
    assert all(version <= in_force for version, in_force in stored)
    assert outcome(process(storage), Draft("order.placed", {"version": 19}, {})) is Invalid
    assert outcome(process(storage), Draft("order.placed", {"version": 20}, {})) is Published
