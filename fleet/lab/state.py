"""What a lab was asked to be, in .lab/NAME/lab.json; what it is, is always read from the machine."""

import json
from dataclasses import asdict

from fleet.errors import LabError
from fleet.lab.keys import write_private
from fleet.lab.model import Lab, Limits
from fleet.lab.places import Places


def save(lab: Lab, places: Places) -> None:
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(places.description, json.dumps(asdict(lab), indent=2) + "\n")


def find(places: Places) -> Lab | None:
    """Return the lab, None if there is none of this name."""
    if not places.description.exists():
        return None
    fields = json.loads(places.description.read_text())
    return Lab(**{**fields, "limits": Limits(**fields["limits"])})


def load(places: Places) -> Lab:
    """Return the lab; raises LabError that says how to make it."""
    lab = find(places)
    if lab is None:
        raise LabError(f"there is no lab called {places.name}; make one: ./ops.py lab up --name {places.name}")
    return lab
