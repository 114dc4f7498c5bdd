"""Names and sentences."""

from collections.abc import Sequence

from fleet.facts import Process

FULL = 100  # an instance's weight, in percent, where nobody changed it


def names(found: Sequence[Process]) -> str:
    return listed(*(str(o.what) for o in found))


def listed(*names: str) -> str:
    return ", ".join(names)


def sentence(text: str) -> str:
    """With its end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
