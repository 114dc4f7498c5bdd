"""Amebo: events in, signed webhooks out, nothing lost in between."""

import json
from pathlib import Path

_STAMP = Path(__file__).resolve().parent.parent / "RELEASE"

# The release that this code was unpacked from, else the source's own version. Read once, at the start: where a release
# is reached by a symbolic link, that may point to another one later.
__version__ = str(json.loads(_STAMP.read_text())["version"]) if _STAMP.exists() else "1.0.0"
