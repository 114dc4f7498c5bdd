"""A browser without a screen, on a service in memory: keeps the cookie, and sends forms with what a page gave it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from argon2 import PasswordHasher
from falcon.testing import Result, TestClient

from app.__main__ import compose
from app.console import add_console
from app.http import create_app
from app.model import Attempt, Compatibility, Event, Filters, Gist, Page, Principal, Room
from app.publishing import Draft
from app.registry import Wish
from app.settings import EVERYWHERE, Settings
from app.storage.memory import MemoryStorage

PASSWORD = "a password"
CHOSEN = Settings(
    secret="a secret of thirty-two characters",
    username="admin",
    password=PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD),  # checked in no time
    login_failures=3,
    allow_private_handlers=EVERYWHERE,
)
ADMIN = Principal("admin", administrator=True)
HOST = "amebo.example:3310"


class Console:
    """The console as one viewer has it."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.services = compose(CHOSEN, self.storage)
        app = create_app(self.services)
        add_console(app, self.services, CHOSEN.secret)
        self.client = TestClient(app)
        self.cookie = ""

    def get(self, path: str, **headers: str) -> Result:
        return self.client.simulate_get(path, headers={"Host": HOST, "Cookie": self.cookie, **headers})

    def post(self, path: str, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Result:
        """As a browser sends a form of this site, but for what `headers` say; "" leaves one out."""
        usual = {
            "Host": HOST,
            "Cookie": self.cookie,
            "Origin": f"http://{HOST}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value}
        return self.client.simulate_post(path, body=urlencode(fields, doseq=True), headers=sent)

    def send(self, path: str, **fields: object) -> Result:
        """A form of the session."""
        return self.post(path, {"form_token": self.form_token(), **fields})

    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="(\w+)"', self.get("/").text)
        assert found, "nobody is signed in"
        return found[1]

    def sign_in(self, name: str = "admin", password: str = PASSWORD, **more: str) -> Result:
        answer = self.post("/console/sign-in", {"name": name, "password": password, **more})
        if "amebo_session" in answer.cookies:
            self.cookie = f"amebo_session={answer.cookies['amebo_session'].value}"
        return answer

    def application(self, name: str) -> str:
        """An application that subscribes to an action of its own; returns the API key."""
        registry, owner = self.services.registry, Principal(name)
        key = registry.register(ADMIN, name, "http://192.0.2.1", f"the secret of {name}", "").apikey
        registry.add_action(owner, f"{name}.done", name, {"type": "object"}, Compatibility.NONE)
        registry.subscribe(owner, Wish(name, f"{name}.done", f"/hook-of-{name}", max_retries=0))
        return key

    def publish(self, name: str, payload: object = None) -> Event:
        draft = Draft(f"{name}.done", {"of": payload or f"payload-of-{name}"}, {}, f"key-of-{name}-{datetime.now(UTC)}")
        return self.services.publisher.publish(lambda _: Principal(name), draft).event

    def fail(self, name: str) -> Gist:
        """Publish an event, and try to deliver it in vain."""
        event = self.publish(name)
        claim = self.services.broker.claim(Room(100, 100), timedelta(minutes=1))
        attempt = Attempt(1, 500, 12, f"answer-to-{name}", None, datetime.now(UTC))
        self.services.broker.complete([(delivery, attempt) for delivery in claim.deliveries])
        return self.services.broker.gists(ADMIN, Filters(event=event.event), Page()).items[0]
