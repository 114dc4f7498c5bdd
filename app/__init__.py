"""Amebo: events in, signed webhooks out, nothing lost in between."""

import json
from pathlib import Path

__version__ = "1.0.0"


def version() -> str:
    """The release this code was unpacked from, which says so in RELEASE beside the package; else the source's own."""
    stamp = Path(__file__).resolve().parent.parent / "RELEASE"
    if not stamp.exists():
        return __version__
    return str(json.loads(stamp.read_text())["version"])
