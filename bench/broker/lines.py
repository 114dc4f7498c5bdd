"""What a bench found: lines of ours beside the peer or the limit, and whether the target was met."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

Details = dict[str, Any]
out = Console(highlight=False, width=max(Console().width, 110))  # also where the output is no terminal


@dataclass(frozen=True)
class Line:
    """One figure. The target is for the ratio of ours to the other, or for ours itself where there is no other."""

    what: str
    ours: float
    unit: str
    other: float | None = None
    beside: str = ""
    target: float | None = None
    at_most: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours / self.other if self.other else None

    @property
    def missed(self) -> bool:
        """Whether there is a target, and it was not reached."""
        judged = self.ours if self.other is None else self.ratio
        if self.target is None:
            return False
        if judged is None:
            return True
        return judged > self.target if self.at_most else judged < self.target


@dataclass(frozen=True)
class Findings:
    """All that one bench found; `details` are for the JSON file alone."""

    title: str
    lines: tuple[Line, ...]
    details: Details


def show(findings: Findings) -> None:
    """As a table; what missed its target says so."""
    if not findings.lines:
        return
    table = Table("", title=findings.title, title_justify="left", box=None)
    for heading in ("ours", "", "peer or limit", "ratio", "target"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for line in findings.lines:
        table.add_row(*_cells(line), style="red" if line.missed else "")
    out.print(table)


def as_json(findings: Findings) -> dict[str, object]:
    """With the ratios and the verdicts, so that nobody has to work them out again."""
    return {"title": findings.title, "lines": [_as_json(line) for line in findings.lines], **findings.details}


def grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Details:
    """A table without targets: shown, and as what is saved of it."""
    table = Table(columns[0], title=title, title_justify="left", box=None)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(number(cell) if isinstance(cell, float) else str(cell) for cell in row))
    out.print(table)
    return {"title": title, "columns": list(columns), "rows": [[_rounded(cell) for cell in row] for row in rows]}


def number(value: float) -> str:
    """In as many digits as the measurement is worth."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bound(target: float | None, *, at_most: bool) -> str:
    """A target as it is shown; "" for none."""
    return "" if target is None else f"{'≤' if at_most else '≥'} {target:g}"


def _cells(line: Line) -> tuple[str, ...]:
    other = "" if line.other is None else f"{number(line.other)} {line.beside}"
    ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
    target, missed = bound(line.target, at_most=line.at_most), "MISSED" if line.missed else ""
    return line.what, number(line.ours), line.unit, other, ratio, target, missed


def _as_json(line: Line) -> dict[str, object]:
    found = {name: _rounded(value) for name, value in asdict(line).items() if value not in (None, "")}
    return {**found, "ratio": _rounded(line.ratio), "missed": line.missed}


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
