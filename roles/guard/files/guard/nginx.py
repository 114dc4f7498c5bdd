"""What nginx is asked and told: who gets which share of the requests."""

import json
from typing import Any

from .call import call
from .model import Change, Placed, Traffic

PATH = "/traffic"
TIMEOUT = 0.9


async def traffic(address: str) -> Traffic:
    """Read it. Raises OSError or ValueError, as `call` does, and ValueError for what is not the agreed answer."""
    answer = await call(address, "GET", PATH, timeout=TIMEOUT)
    if answer.status != 200:
        raise ValueError(f"GET {PATH} answers {answer.status}")
    return _traffic(json.loads(answer.body))


async def change(address: str, wanted: Change, revision: int) -> int:
    """Set weights, if nobody has changed anything since `revision`; returns the new one. Raises as `traffic` does."""
    body = json.dumps({"weights": wanted.weights, "by": wanted.by, "revision": revision}).encode()
    answer = await call(address, "PATCH", PATH, body, timeout=TIMEOUT)
    if answer.status != 200:
        raise ValueError(f"PATCH {PATH} answers {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return _traffic(json.loads(answer.body)).revision


def _traffic(found: Any) -> Traffic:  # noqa: ANN401  # JSON from outside
    try:
        instances = {
            str(address): Placed(
                str(placed["colour"]),
                _percent(placed["weight"]),
                str(placed.get("by", "")),
                placed.get("tripped") is True,
            )
            for address, placed in found["instances"].items()
        }
        return Traffic(_percent(found["green"]), instances, int(found["revision"]))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"GET {PATH} does not answer as agreed: {error!r}") from error


def _percent(value: object) -> float:
    """As it came: 100 stays a whole number."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
