"""What a line of nginx' access log says about the instances that were asked. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from .model import Tally, Try

_DIVIDED = re.compile(r", | : ")  # a colon where nginx went on in another group
_CLIENT_LEFT = 499
_NONE = "-"


def tries(line: str) -> Iterator[Try]:
    """The attempts in their order; none of a line that is not one of ours. Raises ValueError for what is no JSON.

    An attempt failed when it ended with 500 or more, or with nothing; but the last one of a client that left was not
    let end.
    """
    request = json.loads(line)
    if not isinstance(request, dict):
        return
    addresses, statuses, times = (_parts(request, f"upstream{name}") for name in ("", "_status", "_response_time"))
    if not addresses or not len(addresses) == len(statuses) == len(times):
        return
    if request.get("status") == _CLIENT_LEFT and statuses[-1] == _NONE:
        addresses = addresses[:-1]
    began = float(request.get("msec", 0)) - float(request.get("request_time", 0))
    for address, status, seconds in zip(addresses, statuses, times, strict=False):
        failed = status == _NONE or int(status) >= 500
        yield Try(address, failed, began, None if seconds == _NONE else float(seconds))


def tally(found: Iterable[Try], began_after: Mapping[str, float], sample: int) -> dict[str, Tally]:
    """Count by address, with the times of the first `sample` of each.

    What began before its instance came into its state is left out: requests that it left hanging end a minute after
    they began, when it may long have been healed.
    """
    counted: dict[str, list[int]] = {}
    seconds: dict[str, list[float]] = {}
    for each in found:
        if each.began < began_after.get(each.address, 0.0):
            continue
        numbers = counted.setdefault(each.address, [0, 0, 0])
        numbers[0] += 1
        numbers[1] += each.failed
        numbers[2] = numbers[2] + 1 if each.failed else 0
        kept = seconds.setdefault(each.address, [])
        if each.seconds is not None and len(kept) < sample:
            kept.append(each.seconds)
    return {
        address: Tally(all_, failed, row, tuple(seconds[address])) for address, (all_, failed, row) in counted.items()
    }


def _parts(request: Mapping[str, object], name: str) -> list[str]:
    text = request.get(name, "")
    return _DIVIDED.split(text) if isinstance(text, str) and text else []
