"""A panel of the dashboard: its queries, their unit and their meaning."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Query:
    """One PromQL query.

    Attributes:
        expr: The expression, with Grafana's variables in it.
        legend: How each of its series is called, with labels as `{{label}}`.
    """

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Its subject, in a few words.
        description: How to read it.
        unit: Grafana's name of the unit: `s`, `reqps`, `ops`, `short`, `percentunit`, `bytes`.
        queries: Its queries.
        kind: A curve over time, one figure, or a table of what is now.
        stacked: Whether curves stand on each other, because their sum is a figure too.
        red_from: The value from which on a figure is red, and a curve above a red line.
        top: The highest value that there can be.
        decimals: Digits after the point; as many as it takes if None.
        width: Columns of the grid, which has 24.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["curve", "figure", "table"] = "curve"
    stacked: bool = False
    red_from: float | None = None
    top: float | None = None
    decimals: int | None = None
    width: int = 8


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
