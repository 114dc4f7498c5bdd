"""Templates as Ansible renders them, from their role's defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[1]
NGINX = ROOT / "templates/nginx"

# What has no default, and what Ansible knows of the host.
GIVEN: Mapping[str, dict[str, Any]] = {
    "base": {},
    "guard": {},
    "keepalived": {
        "inventory_hostname": "lb-1",
        "keepalived_address": "192.0.2.10",
        "keepalived_members": ["192.0.2.11", "192.0.2.13"],
        "keepalived_own_address": "192.0.2.11",
        "__keepalived_interface": "eth0",
    },
    "postgresql": {
        "ansible_facts": {"distribution_major_version": "12"},
        "postgresql_owner_password": "made up",
        "postgresql_service_password": "made up",
        "postgresql_reader_password": "made up",
    },
    "nginx": {
        "nginx_instances": {
            "blue": ["192.0.2.11:3310", "192.0.2.11:3311"],
            "green": ["192.0.2.11:3410", "192.0.2.11:3411"],
        }
    },
    "amebo": {
        "amebo_version": "1.0.0",
        "amebo_database_host": "192.0.2.5",
        "amebo_database_owner_password": "made up",
        "amebo_database_service_password": "a/b:c@d",
        "amebo_secret": 'with "quotes", \\ and $dollars',
        "amebo_admin_password": "made up",
        "__amebo_slot": "a",
    },
}
TEMPLATES = [
    *((path.parts[-3], path) for path in sorted(ROOT.glob("roles/*/templates/*.j2"))),
    *(("nginx", path) for path in sorted(NGINX.glob("*.j2"))),
]


def render(role: str, path: Path, **changes: Any) -> str:
    """As Ansible renders it: an undefined variable is an error."""
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_managed": "Ansible managed", "role_path": str(ROOT / "roles" / role)}
    for part in ("defaults", "vars"):
        source = ROOT / "roles" / role / part / "main.yml"
        if source.exists():
            known |= loader.load_from_file(str(source), trusted_as_template=True)
    templar = Templar(loader).copy_with_new_env(
        searchpath=[str(path.parent)], available_variables=known | GIVEN[role] | changes
    )
    text = trust_as_template(path.read_text())
    return str(templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True}))


def render_one(name: str, **changes: Any) -> str:
    role, path = next((role, path) for role, path in TEMPLATES if path.name == name)
    return render(role, path, **changes)
