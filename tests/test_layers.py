"""Who may import whom, as docs/architecture.md draws it: data flows one way."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STDLIB = set(sys.stdlib_module_names)

POSTGRES = {"psycopg", "psycopg_pool"}
ARROWS: dict[str, set[str]] = {
    "app/model.py": set(),
    "app/errors.py": set(),
    "app/jsontext.py": {"orjson"},
    "app/rules.py": {"app.model", "app.errors", "app.jsontext"},
    "app/ports.py": {"app.model"},
    "app/broker.py": {"app.model", "app.errors", "app.rules", "app.ports"},
    "app/catalogue.py": {"app.model", "app.errors", "app.ports"},
    "app/publishing.py": {"app.model", "app.errors", "app.rules", "app.catalogue"},
    "app/commit.py": {"app.model", "app.errors", "app.fibers", "app.metrics", "app.publishing"},
    "app/minutes.py": {"app.model", "app.errors", "app.rules", "app.ports"},
    "app/audit.py": {"app.model", "app.errors", "app.rules", "app.ports"},
    "app/registry.py": {
        "app.model",
        "app.errors",
        "app.rules",
        "app.ports",
        "app.schema",
        "app.compatibility",
        "app.credentials",
        "app.jsontext",
    },
    "app/credentials.py": {"app.model", "app.errors", "app.ports", "argon2", "jwt"},
    "app/effort.py": {"app.model"},
    "app/schema.py": {"app.model", "app.errors", "app.effort", "jsonschema_rs"},
    "app/conjunction.py": {"app.model", "app.effort", "app.schema"},
    "app/narrowing.py": {"app.conjunction"},
    "app/sameness.py": {"app.conjunction", "app.effort"},
    "app/compatibility.py": {
        "app.model",
        "app.errors",
        "app.conjunction",
        "app.narrowing",
        "app.sameness",
    },
    "app/storage/memory/": {"app.model", "app.errors", "app.rules", "app.jsontext", "app.storage"},
    "app/storage/postgres/": {
        "app.model",
        "app.errors",
        "app.rules",
        "app.jsontext",
        "app.fibers",
        "app.storage",
        *POSTGRES,
    },
    "app/delivery/": {"app.model", "app.rules", "app.delivery", "aiohttp"},
    "app/http/present.py": set(),
    "fleet/model.py": set(),
    "fleet/errors.py": set(),
    "fleet/rates.py": {"fleet.model", "prometheus_client"},
    "fleet/show.py": {"fleet.model", "rich"},
    "fleet/plan/": {"fleet.model", "fleet.errors", "fleet.plan", "numpy", "scipy"},
    "fleet/history.py": {"fleet.effects"},
    "fleet/facts.py": {"fleet.model", "fleet.history", "fleet.effects.lease"},
    "fleet/findings/": {"fleet.model", "fleet.facts", "fleet.history", "fleet.effects.lease", "fleet.findings"},
    "fleet/explain.py": {"fleet.model", "fleet.facts", "fleet.findings"},
    "fleet/top.py": {"fleet.model", "fleet.show", "rich"},
    "fleet/report/model.py": set(),
    "fleet/report/plots.py": {"fleet.effects.timeline", "fleet.report.model"},
    "fleet/report/page.py": {"fleet.history", "fleet.report", "jinja2"},
    "fleet/effects/timeline.py": {"fleet.effects"},
    "fleet/effects/keeper.py": set(),
    "fleet/effects/pending.py": set(),
}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """The modules that a file names, in full; `from fleet import show` counts as fleet.show."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module in ("app", "fleet") else {module}
    return names


def allowed(module: str, arrows: set[str]) -> bool:
    return module.split(".")[0] in STDLIB or any(module == arrow or module.startswith(arrow + ".") for arrow in arrows)


@pytest.mark.parametrize("path", python_files("app"), ids=str)
def test_the_service_never_imports_the_operator(path: Path) -> None:
    assert not [name for name in imported(path) if name.split(".")[0] in ("fleet", "ops", "ansible", "fabric")]


@pytest.mark.parametrize("path", [*python_files("fleet"), ROOT / "ops.py"], ids=str)
def test_the_operator_never_imports_the_service(path: Path) -> None:
    assert not [name for name in imported(path) if name.split(".")[0] == "app"]


@pytest.mark.parametrize("where", ARROWS)
def test_the_pure_parts_import_only_what_the_arrows_allow(where: str) -> None:
    paths = list(python_files(where)) if where.endswith("/") else [ROOT / where]
    assert paths, f"{where} is gone; change ARROWS and docs/architecture.md together"
    for path in paths:
        assert [name for name in imported(path) if not allowed(name, ARROWS[where])] == []


DOORS = {
    "fabric": ("fleet/effects/ssh.py",),
    "paramiko": ("fleet/effects/ssh.py",),
    "psycopg": ("app/storage/",),
    "psycopg_pool": ("app/storage/",),
    "aiohttp": ("app/delivery/", "fleet/demo/"),
    "falcon": ("app/http/", "app/console/"),
    "waitress": ("app/web.py", "app/channel.py", "app/loop.py"),
    "greenlet": ("app/fibers.py",),
    "argon2": ("app/credentials.py",),
    "jwt": ("app/credentials.py", "app/console/session.py"),
    "jsonschema_rs": ("app/schema.py",),
    "limits": ("app/http/limits.py",),
    "orjson": ("app/jsontext.py",),
}


@pytest.mark.parametrize("library", DOORS)
def test_each_outside_thing_has_its_door(library: str) -> None:
    users = [
        str(p.relative_to(ROOT))
        for p in python_files("app", "fleet")
        if library in {n.split(".")[0] for n in imported(p)}
    ]
    assert users
    assert [user for user in users if not user.startswith(DOORS[library])] == []


@pytest.mark.parametrize("path", python_files("app/http", "app/console"), ids=str)
def test_a_resource_knows_no_adapter(path: Path) -> None:
    """What is allowed of an address is a decision of its own, which limits share with deliveries."""
    adapters = ("app.storage", "app.delivery", "app.web", "app.dispatcher", "app.__main__")
    known = {name for name in imported(path) if name.startswith(adapters)}
    assert known <= {"app.delivery.guard"}
