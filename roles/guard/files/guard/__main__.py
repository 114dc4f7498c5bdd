"""python3 -m guard SETTINGS: the one place that wires the guard."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from .loop import Guard
from .serve import serve
from .settings import Settings, SettingsError, load


def main(words: Sequence[str] | None = None) -> int:
    """Guard until it is told to end, or check the settings and do nothing else."""
    arguments = _parser().parse_args(words)
    try:
        settings = load(arguments.settings)
        if not arguments.check:
            run(settings)
    except (SettingsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  # for whoever started it
        return 1
    return 0


def run(settings: Settings) -> None:
    """Does not return: SIGTERM ends it at once, and what nginx was told stays."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    guard = Guard(settings)
    serve(settings.listen, lambda: guard.report)
    asyncio.run(guard.run())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="guard", description="Take bad instances out of nginx' groups, and back in.")
    parser.add_argument("settings", type=Path, help="a JSON file")
    parser.add_argument("--check", action="store_true", help="only say whether the settings are good")
    return parser


if __name__ == "__main__":
    sys.exit(main())
