"""What fleet/plan/schema.py decides, as filters: the arithmetic has one place, and a playbook only asks."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # ansible-playbook does not know where fleet is

from fleet.effects import release  # found by the line above
from fleet.errors import FleetError
from fleet.plan import schema


def refusal(archive: str, version: str, host: str, looked: Iterable[str], answers: Iterable[Mapping[str, Any]]) -> str:
    """Why the archive's release cannot be deployed to what runs on the host; empty when it can.

    `looked`: what the two commands of schema.yml printed; `answers`: those of the processes' /health/ready.
    """
    told = [answer["json"].get("schema") for answer in answers if isinstance(answer.get("json"), dict)]
    database = max((number for number in told if isinstance(number, int)), default=None)
    try:
        schema.check(version, release.migrations(Path(archive)), host, schema.read(*looked), database)
    except FleetError as error:
        return str(error)
    return ""


def running(looked: Iterable[str]) -> list[int]:
    """The schemas that the releases on a host were built for."""
    return list(schema.running(schema.read(*looked)))


class FilterModule:
    """Where Ansible looks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By the names that tasks use."""
        return {"amebo_schema_refusal": refusal, "amebo_running_schemas": running}
