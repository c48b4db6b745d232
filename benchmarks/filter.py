"""The cost of a filter before its statement is sent: cold, with its tree at hand, and by its cached shape.

    python -m benchmarks.filter [--rounds 15]

Machines differ and are shared: each figure is CPU time, the median of rounds in one process after a warm-up, beside
that of a yardstick in the same round (json.loads of a document of 14 objects). Quote the ratios.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from time import process_time

from marketplace_service.api import RESOURCES
from tablestakes.crud.schema.schema import compile_schemas
from tablestakes.filter import Filters, check, compile_condition, parse

TYPICAL = 'state = PUBLISHED AND author.username = "ann" AND create_time > "2026-01-01T00:00:00Z"'
DOCUMENT = json.dumps([{"name": f"users/{number}", "active": True, "score": number / 7} for number in range(14)])
TIMES = 500
TARGETS = {"tree at hand": 60.0, "by shape": 10.0}


def main() -> None:
    """Measure, and print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    schema = compile_schemas(RESOURCES)["marketplace.v1.Post"]
    tree, filters = parse(TYPICAL), Filters(schema)
    works: dict[str, Callable[[], object]] = {
        "json.loads": lambda: json.loads(DOCUMENT),
        "cold": lambda: compile_condition(check(parse(TYPICAL), schema)),
        "tree at hand": lambda: compile_condition(check(tree, schema)),
        "by shape": lambda: filters.read(TYPICAL),
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            figure = _us(work)
            if round_:  # the first one warms up
                spent[name].append(figure)
    print(TYPICAL)
    for name, figures in spent.items():
        ratio = statistics.median(a / b for a, b in zip(figures, spent["json.loads"], strict=True))
        target = f", target {TARGETS[name]:.0f} µs" if name in TARGETS else ""
        print(
            f"{name:13} median {statistics.median(figures):6.1f} µs, least {min(figures):6.1f} µs,"
            f" ratio {ratio:4.1f}x of json.loads{target}"
        )


def _us(work: Callable[[], object]) -> float:
    start = process_time()
    for _ in range(TIMES):
        work()
    return (process_time() - start) / TIMES * 1e6


if __name__ == "__main__":
    main()
