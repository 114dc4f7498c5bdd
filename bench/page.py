"""The measured tables of docs/performance.md, written from bench/results: no figure in them is typed."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.broker.lines import bound, number

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs/performance.md", ROOT / "bench/results"
MEASURED = ("publish", "delivery", "claims", "fairness", "latency", "memory")
Found = dict[str, Any]  # what a bench saved


def write() -> None:
    """Bring the page up to date."""
    PAGE.write_text(written(PAGE.read_text(), saved()))


def saved() -> dict[str, Found]:
    """What every bench found last, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def written(page: str, results: Mapping[str, Found]) -> str:
    """The page with its two parts between comments as the results have them."""
    measured = [_lines(results[name]) for name in MEASURED if name in results]
    grids = [each for each in results.get("tuning", {}).values() if isinstance(each, dict) and "rows" in each]
    return _between(_between(page, "tables", measured), "tuning", map(_grid, grids))


def _between(page: str, name: str, tables: Iterable[str]) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    inside = "".join(tables)
    found, many = re.subn(f"{begin}.*?{end}", lambda _: begin + inside + end, page, flags=re.DOTALL)
    if many != 1:
        raise SystemExit(f"{PAGE.name} has no part between {begin.strip()} and {end}; put both back")
    return found


def _lines(found: Found) -> str:
    rows = [
        (
            line["what"],
            f"{number(line['ours'])} {line.get('unit', '')}",
            f"{number(line['other'])} {line.get('beside', '')}" if "other" in line else "",
            f"{line['ratio']:.3g}" if line["ratio"] is not None else "",
            bound(line.get("target"), at_most=line["at_most"]) + (" **missed**" if line["missed"] else ""),
        )
        for line in found["lines"]
    ]
    return _table(found["title"], ("", "ours", "beside", "ratio", "target"), rows)


def _grid(found: Found) -> str:
    rows = [[number(cell) if isinstance(cell, float) else cell for cell in row] for row in found["rows"]]
    return _table(found["title"], found["columns"], rows)


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = tuple(columns)
    lines = [columns, ("---",) * len(columns), *rows]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
