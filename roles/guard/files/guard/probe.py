"""Ask instances whether they are ready, all at the same time."""

import asyncio
import json
from collections.abc import Mapping

from .call import Answer, call
from .model import Probe

READY = 200


async def probe(timeouts: Mapping[str, float]) -> dict[str, Probe]:
    """By address, each within its own seconds: one that hangs holds up nobody beyond them."""
    found = await asyncio.gather(*(_probe(address, timeout) for address, timeout in timeouts.items()))
    return dict(zip(timeouts, found, strict=True))


async def _probe(address: str, timeout: float) -> Probe:
    try:
        answer = await call(address, "GET", "/health/ready", timeout=timeout)
    except TimeoutError:
        return Probe("silent")
    except ConnectionRefusedError:
        return Probe("refused")
    except OSError:
        return Probe("unreachable")
    except ValueError:
        return Probe("no HTTP")
    return Probe("" if answer.status == READY else _reason(answer))


def _reason(answer: Answer) -> str:
    """In the instance's own words, if it has some that are fit for a metric's label."""
    try:
        status = json.loads(answer.body)["status"]
    except (ValueError, LookupError, TypeError):
        status = None
    if isinstance(status, str) and status.replace(" ", "").isalpha() and len(status) <= 40:
        return status
    return f"answers {answer.status}"
