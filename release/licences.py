"""The licences of all that a deployment has: `docs/licences.md`, and a refusal of any that is not permissive.

`python -m release.licences` writes the list; with `--check` it changes nothing, and exits with 1 when the list is
not that of the installed packages. Either way a licence that nobody has allowed is refused.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tablestakes.stubs import SCRIPTS

LIST = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
# The extras that run beside the service. `testing` and `new` are for development.
EXTRAS = ("otel", "demo")
# SPDX expressions, and the names that older metadata has for the same licences. All of them allow use in any
# product, and ask for no more than their text.
ALLOWED = (
    "3-Clause BSD License",
    "Apache Software License",
    "Apache-2.0",
    "Apache-2.0 AND BSD-2-Clause",
    "Apache-2.0 OR BSD-3-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT AND PSF-2.0",
    "MIT License",
    "MIT OR Apache-2.0",
    "MIT-0",
    "PSF-2.0",
)
HEAD = """# Licences

Tablestakes is under [Apache-2.0](https://www.apache.org/licenses/LICENSE-2.0). A deployment has these packages
beside it, by the extras `otel` and `demo` as well; each allows use in any product. `make licences` writes this list
from the installed packages, and `make check` refuses a licence that is not in `release/licences.py`. The versions
are in `requirements/`, and with their licences in the SBOM of a release ([releasing.md](releasing.md)).

"""


def needed(package: str, extras: Iterable[str] = ()) -> set[str]:
    """Return the canonical names of the packages that an installed package needs on this machine, itself left out.

    Raises:
        importlib.metadata.PackageNotFoundError: One of them is not installed.
    """
    seen: set[tuple[str, frozenset[str]]] = set()
    ahead = [(canonicalize_name(package), frozenset(extras))]
    while ahead:
        if (each := ahead.pop()) in seen:
            continue
        seen.add(each)
        name, wanted = each
        for requirement in map(Requirement, requires(name) or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                ahead.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in seen} - {canonicalize_name(package)}


def licences(packages: Iterable[str], allowed: Iterable[str] = ALLOWED) -> str:
    """Return a Markdown table of installed packages and their licences.

    Raises:
        subprocess.CalledProcessError: A licence is not allowed; pip-licenses has said which, on standard error.
    """
    command = [
        str(SCRIPTS / "pip-licenses"),
        "--no-version",
        "--format=markdown",
        "--allow-only",
        ";".join(allowed),
    ]
    found = subprocess.run(
        [*command, "--packages", *sorted(packages)], check=True, stdout=subprocess.PIPE, text=True
    )
    return found.stdout


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    check: bool = parser.parse_args().check
    text = HEAD + licences(needed("tablestakes", EXTRAS))
    if not check:
        LIST.write_text(text)
    elif LIST.read_text() != text:
        print("docs/licences.md is not what is installed: run `make licences`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
