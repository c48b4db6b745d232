"""Write the Grafana dashboard, and the rules in the form that Kubernetes takes, from their sources.

`python k8s/monitoring/generate.py` writes them; with `--check` it changes nothing, and exits with 1 when one of
them is not what its sources say.
"""

import argparse
import sys
from pathlib import Path

from k8s.monitoring.dashboard import admission, error, pool, process, rpc, spending, statement, target, transaction
from k8s.monitoring.dashboard.draw import draw

MONITORING = Path(__file__).resolve().parent
ROWS = tuple(row.ROW for row in (target, rpc, admission, pool, spending, statement, transaction, error, process))
RULES = tuple(sorted((MONITORING / "rules").glob("*.yaml")))

# Without the labels that an operator's `ruleSelector` asks for: they are of the cluster, and an overlay adds them.
RESOURCE = """\
# Made of rules/*.yaml by `make monitoring`: the same groups, as the Prometheus Operator takes them.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tablestakes
  labels:
    app.kubernetes.io/name: tablestakes
spec:
  groups:
"""


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    check: bool = parser.parse_args().check
    stale = 0
    for path, text in (
        (MONITORING / "dashboards" / "tablestakes.json", draw(ROWS)),
        (MONITORING / "prometheusrule.yaml", RESOURCE + "".join(map(_groups, RULES))),
    ):
        if not check:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            stale = 1
            name = path.relative_to(MONITORING.parents[1])
            print(f"{name} is not what its sources say: run `make monitoring`", file=sys.stderr)
    return stale


def _groups(rules: Path) -> str:
    """Return the groups of a file of rules, comments and all, two columns deeper.

    Raises:
        ValueError: The file has something before its groups.
    """
    head, found, groups = rules.read_text().partition("groups:\n")
    if not found or any(line and not line.startswith("#") for line in head.splitlines()):
        raise ValueError(f"{rules}: a file of rules begins with `groups:`, after comments at the most")
    return "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))


if __name__ == "__main__":
    sys.exit(main())
