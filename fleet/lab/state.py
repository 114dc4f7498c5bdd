"""What a lab was asked to be, in .lab/NAME/lab.json; what it is, is always read from the machine."""

import json
from dataclasses import asdict

from fleet.errors import LabError
from fleet.lab.files import replace
from fleet.lab.model import Lab, Limits
from fleet.lab.places import Places


def save(lab: Lab, places: Places) -> None:
    replace(places.description, json.dumps(asdict(lab), indent=2) + "\n")


def find(places: Places) -> Lab | None:
    """Return the lab, None if there is none of this name."""
    try:
        fields = json.loads(places.description.read_text())
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LabError(f"lab {places.name} belongs to root: run the command with sudo") from error
    return Lab(**{**fields, "limits": Limits(**fields["limits"])})


def load(places: Places) -> Lab:
    """Return the lab; raises LabError that says how to make it."""
    lab = find(places)
    if lab is None:
        raise LabError(f"there is no lab called {places.name}; make one: ./ops.py lab up --name {places.name}")
    return lab
