"""A Dockerfile, carried out in folders: each stage is a copy of a root that stands in for its base image."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@dataclass
class Stage:
    """A stage of a build, and the image that the last one is.

    Attributes:
        root: The folder that is its root.
        environment: The environment of its commands.
        user: The numbers of its user and group: `65532:65532`.
        folder: Where its commands run.
        labels: Its labels.
        entrypoint: The program that it runs.
        arguments: The arguments of it, which whoever runs the image may replace.
        health: The command of its health check.
        volumes: The folders that are written to.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


class Build:
    """Carries out a Dockerfile, as far as ours goes: an instruction that is not known here fails.

    Args:
        context: The folder that is copied from.
        base: Makes the root of a base image, given its name and the folder to be.
        run: Runs a command of a stage's shell.
        folder: Where the roots are made.
    """

    def __init__(
        self, context: Path, base: Callable[[str, Path], None], run: Callable[[Stage, str], None], folder: Path
    ) -> None:
        self._context, self._base, self._run, self._folder = context, base, run, folder
        self._arguments: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._stage = Stage(folder)

    def carry_out(self, text: str) -> Stage:
        """Carry out every instruction in its order, and return the last stage."""
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for line in filter(None, re.sub(r"\\\n\s*", " ", lines).splitlines()):
            name, _, rest = line.partition(" ")
            instruction = {"RUN": "_execute"}.get(name, f"_{name.lower()}")
            getattr(self, instruction)(rest.strip())
        return self._stage

    def _filled(self, text: str) -> str:
        known = self._arguments | self._stage.environment
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known[found[1]], text)

    def _pairs(self, rest: str) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in shlex.split(self._filled(rest)))

    def _from(self, rest: str) -> None:
        image, _, name = self._filled(rest).partition(" AS ")
        root = self._folder / (name or "last")
        self._base(image, root)
        self._stage = self._stages[name] = Stage(root, {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"})

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self._arguments[name] = default

    def _env(self, rest: str) -> None:
        self._stage.environment |= self._pairs(rest)

    def _label(self, rest: str) -> None:
        self._stage.labels |= self._pairs(rest)

    def _workdir(self, rest: str) -> None:
        self._stage.folder = rest
        self._inside(rest).mkdir(parents=True, exist_ok=True)

    def _user(self, rest: str) -> None:
        self._stage.user = rest

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        origin: Path = self._context
        ignore: Any = IGNORED
        if sources[0].startswith("--from="):
            origin = self._stages[sources.pop(0).removeprefix("--from=")].root
            ignore = None
        to = self._inside(os.path.join(self._stage.folder, target))  # noqa: PTH118 - a path of the image
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                into = to / found.name if target.endswith("/") else to
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _execute(self, rest: str) -> None:
        self._run(self._stage, rest)

    def _volume(self, rest: str) -> None:
        self._stage.volumes.append(rest)

    def _expose(self, _rest: str) -> None:
        """Publish nothing: it only tells people."""

    def _healthcheck(self, rest: str) -> None:
        self._stage.health = json.loads(rest.partition(" CMD ")[2])

    def _entrypoint(self, rest: str) -> None:
        self._stage.entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self._stage.arguments = json.loads(rest)

    def _inside(self, path: str) -> Path:
        return self._stage.root / path.lstrip("/")
