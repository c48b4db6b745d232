"""Every metric and every label of a documented query exists in a scrape of a service that has served."""

import re

import pytest

from tablestakes.app import App
from tests.monitoring.documented_queries import (
    DocumentedQuery,
    of_alerts,
    of_documents,
    of_panels,
    of_records,
    of_variables,
)
from tests.monitoring.query import OWN, UnknownError, labels, matchers, parse
from tests.monitoring.scrape import labels_of, scrape

QUERIES = (*of_panels(), *of_variables(), *of_alerts(), *of_documents())


async def known(app: App) -> dict[str, frozenset[str]]:
    """Return the labels of each metric that there is: scraped, made by Prometheus itself, or recorded."""
    found = {name: frozenset(values) for name, values in labels_of(await scrape(app)).items()} | OWN
    for name, expr in of_records().items():
        found[name] = labels(parse(expr), found)
    return found


async def test_every_metric_and_label_of_a_query_exists(busy: App) -> None:
    """The dashboard, the rules and the documents ask only for metrics and labels that are exposed."""
    there = await known(busy)
    wrong = []
    for query in QUERIES:
        try:
            given = labels(parse(query.expr), there)
        except UnknownError as error:
            wrong.append(f"{query.where}: {error}")
        else:
            wrong += [f"{query.where}: its answer has no label {label}" for label in sorted(query.needs - given)]
    assert len(QUERIES) > 80
    assert not wrong, "\n".join(wrong)


async def test_every_value_that_a_query_matches_exists(busy: App) -> None:
    """A label is compared only with a value that it has: `used`, `pool_wait`, the edge `0.25` of a bucket."""
    there = labels_of(await scrape(busy))
    wrong, compared = [], 0
    for query in (*QUERIES, *(DocumentedQuery(name, expr) for name, expr in of_records().items())):
        for matcher in matchers(parse(query.expr)):
            values = there.get(matcher.metric, {}).get(matcher.label)
            if values is None or "$" in matcher.value or not matcher.operator.removeprefix("Not"):
                continue
            compared += 1
            pattern = matcher.value if matcher.operator in ("Re", "NotRe") else re.escape(matcher.value)
            if not any(re.fullmatch(pattern, value) for value in values):
                wrong.append(f"{query.where}: {matcher.metric}{{{matcher.label}}} is never {matcher.value!r}")
    assert compared > 30
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("rate(db_client_slow_total[5m])", "no metric db_client_slow_total"),
        ('grpc_server_handled_total{code="OK"}', "no label code"),
        ("sum by (method) (rate(grpc_server_handled_total[5m]))", "no label method"),
        ("sum by (le) (sum by (grpc_method) (grpc_server_handling_seconds_bucket))", "no label le"),
        ("sum(up) / ignoring (phase) sum(up)", "no label phase"),
    ],
)
async def test_an_unknown_name_is_found(busy: App, query: str, what: str) -> None:
    """A metric, a matcher, a grouping or a matching by a name that is not there is an error that names it."""
    there = await known(busy)
    with pytest.raises(UnknownError, match=what):
        labels(parse(query), there)
