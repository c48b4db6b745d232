"""The metrics and labels that a query of PromQL needs to exist."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import promql_parser as promql

# The labels that Prometheus adds to each series that it scrapes, and the cluster to some.
TARGET = frozenset({"namespace", "job", "instance"})
# The metrics that Prometheus itself makes for each target.
OWN: dict[str, frozenset[str]] = {"up": frozenset()}


class UnknownError(Exception):
    """A query names something that does not exist; the message says which name."""


@dataclass(frozen=True)
class Matcher:
    """One matcher of a selector, such as `state="used"`."""

    metric: str
    label: str
    operator: str
    value: str


def parse(query: str) -> promql.Expr:
    """Parse a query as Grafana sends it, with some time in the place of its variables of time.

    Raises:
        ValueError: It is no PromQL.
    """
    return promql.parse(re.sub(r"\$__(rate_interval|interval|range)", "5m", query))


def matchers(query: promql.Expr) -> Iterator[Matcher]:
    """Yield every matcher of every selector in a query."""
    for selector in selectors(query):
        for matcher in selector.matchers.matchers:
            operator = str(matcher.op).removeprefix("MatchOp.")
            yield Matcher(selector.name or "", matcher.name, operator, matcher.value)


def selectors(query: promql.Expr) -> Iterator[promql.VectorSelector]:
    """Yield every selector in a query."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(query, visit)
    yield from found


def labels(query: promql.Expr, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the labels that the series of a query's answer may have.

    Args:
        query: The query.
        known: The labels of each metric that exists.

    Raises:
        UnknownError: It names a metric that does not exist, or a label that the series there do not have.
    """
    match query:
        case promql.VectorSelector():
            found = _of_selector(query, known)
        case promql.MatrixSelector():
            found = _of_selector(query.vector_selector, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            found = labels(query.expr, known)
        case promql.Call():
            within = frozenset[str]().union(*(labels(argument, known) for argument in query.args))
            found = within - {"le"} if query.func.name == "histogram_quantile" else within
        case promql.AggregateExpr():
            found = _of_aggregate(query, known)
        case promql.BinaryExpr():
            found = _of_binary(query, known)
        case promql.NumberLiteral() | promql.StringLiteral():
            found = frozenset()
        case _:
            raise AssertionError(f"{type(query).__name__} is not read yet")
    return found


def _of_selector(selector: promql.VectorSelector, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    name = selector.name or ""
    if name not in known:
        raise UnknownError(f"there is no metric {name}")
    there = known[name] | TARGET
    _require({matcher.name for matcher in selector.matchers.matchers}, there, f"{name} has no label")
    return there


def _of_aggregate(query: promql.AggregateExpr, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    within = labels(query.expr, known)
    if query.modifier is None:
        return frozenset()
    named = frozenset(query.modifier.labels)
    _require(named, within, f"{query.prettify()}: there is no label")
    return named if query.modifier.type == promql.AggModifierType.By else within - named


def _of_binary(query: promql.BinaryExpr, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    left, right = labels(query.lhs, known), labels(query.rhs, known)
    matching = query.modifier.matching if query.modifier is not None else None
    if matching is not None:
        _require(frozenset(matching.labels), left | right, f"{query.prettify()}: there is no label")
    return left | right


def _require(named: frozenset[str] | set[str], there: frozenset[str], what: str) -> None:
    if missing := sorted(named - there):
        raise UnknownError(f"{what} {', '.join(missing)}")
