"""The contract suite and its fixtures, for any service: it needs pytest, and so the extra `testing`.

A service's project has three lines: `tablestakes_service = "shop:SERVICE"` in pytest's section of pyproject.toml,
`pytest_plugins = ["tablestakes.testing.plugin"]` in tests/conftest.py, and in a test module
`from tablestakes.testing.contract import *`.
"""

import pytest

# Before any of them is imported, or pytest would not explain their assertions.
pytest.register_assert_rewrite(
    *(f"tablestakes.testing.{module}" for module in ("contract", "names", "resource", "status"))
)
