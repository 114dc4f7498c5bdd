"""The guard runs on Debian's python3 alone, and its decisions touch nothing."""

import ast
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[3] / "roles/guard/files/guard").glob("*.py"))
PURE = {
    "model": {"collections.abc", "dataclasses", "enum"},
    "evidence": {"collections.abc", "dataclasses", "statistics", ".model"},
    "decide": {"collections.abc", "dataclasses", "math", "typing", ".", ".evidence", ".model"},
    "tries": {"collections.abc", "json", "re", ".model"},
    "report": {"collections.abc", "dataclasses", "datetime", "typing", ".model"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_needs_the_standard_library_and_itself(path: Path) -> None:
    foreign = [name for name in imported(path) if name[0] != "." and name.split(".")[0] not in sys.stdlib_module_names]
    assert foreign == []


@pytest.mark.parametrize("name", PURE)
def test_what_decides_has_no_clock_and_no_socket(name: str) -> None:
    (path,) = [path for path in FILES if path.stem == name]
    assert imported(path) <= PURE[name]
