"""Write files whole, and for their owner alone."""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Put `text` where `path` is, all at once; it never is readable to others, not even for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
