"""docs/security.md: each control names a test that there is."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_control_is_shown_by_a_test_that_there_is() -> None:
    """Every line of the table of threats has a test behind it, by the file and the name that it gives."""
    lines = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
    threats = lines[1:]
    assert len(threats) > 15
    for line in threats:
        found = SHOWN.findall(line.rpartition(" | ")[2])
        assert found, line
        for file, name in found:
            tree = ast.parse((ROOT / file).read_text())
            functions = {
                each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert any(each.startswith("test_") for each in functions)
            assert not name or name in functions, line
