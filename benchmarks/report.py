"""The one table shape of all benchmarks: a claim, our figure, a named peer's figure from the same run."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One measured claim.

    Attributes:
        claim: what is measured, on which data, in which unit.
        ours: our figure.
        peer: the peer's name and its figure, measured in the same run.
        ratio: ours to the peer's, or a dash where a ratio says nothing.
        bound: the bound that the claim must meet, e.g. `>= .95`; empty for a figure that is only told.
        met: whether the bound holds; None when there is no bound.
    """

    claim: str
    ours: str
    peer: str
    ratio: str
    bound: str
    met: bool | None


def at_least(claim: str, ours: float | None, bound: float, *, peer: str, ratio: str = "-", digits: int = 4) -> Row:
    """A row for a figure that must not fall below `bound`; None, for what could not be measured, fails."""
    return Row(claim, _figure(ours, digits), peer, ratio, f">= {bound:g}", ours is not None and ours >= bound)


def at_most(claim: str, ours: float | None, bound: float, *, peer: str, ratio: str = "-", digits: int = 4) -> Row:
    """A row for a figure that must not rise above `bound`; None, for what could not be measured, fails."""
    return Row(claim, _figure(ours, digits), peer, ratio, f"<= {bound:g}", ours is not None and ours <= bound)


def _figure(value: float | None, digits: int) -> str:
    return "not measured" if value is None else f"{value:.{digits}f}"


def print_rows(title: str, rows: Iterable[Row]) -> bool:
    """Print the rows as a table; returns whether every bound was met."""
    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for column in ("claim", "ours", "peer", "ratio", "bound", "met"):
        table.add_column(column, overflow="fold")
    for row in rows:
        met = "-" if row.met is None else ("yes" if row.met else "NO")
        table.add_row(row.claim, row.ours, row.peer, row.ratio, row.bound, met)
    Console(width=150).print(table)
    return all(row.met is not False for row in rows)
