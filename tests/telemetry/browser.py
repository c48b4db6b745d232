"""A headless Chromium, spoken to through its pipe: Chrome DevTools Protocol, as JSON that ends with a zero byte."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    # In a container there is nothing to make a sandbox of, and the only page is ours.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
# By way of 98 and 99, for one of the two may be 3 or 4 already.
_START = """
import os, sys
os.dup2(int(sys.argv[1]), 98), os.dup2(int(sys.argv[2]), 99)
os.dup2(98, 3), os.dup2(99, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
SECONDS = 30.0


def chromium() -> str | None:
    """Return the path of a Chromium, None if the machine has none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab of a browser that runs.

    Attributes:
        errors: What the page threw, or its policy refused, so far.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self.errors: list[str] = []
        self._reads, self._writes = reads, writes
        self._buffer = b""
        self._ids = itertools.count(1)
        self._session: str | None = None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return its result.

        Raises:
            RuntimeError: The browser refused it.
            TimeoutError: It did not answer.
        """
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            self._hear(answer)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        until = monotonic() + SECONDS
        while b"\0" not in self._buffer:
            if not select([self._reads], [], [], max(0.0, until - monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._reads, 1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        return heard

    def _hear(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["source"] in ("security", "violation", "javascript"):
                self.errors.append(told["entry"]["text"])

    def open(self, url: str, *, width: int = 1440, height: int = 1100, scheme: str = "light") -> None:
        """Open a page in a window of a size in CSS pixels, preferring a color scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.command("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """Return what a JavaScript expression comes to, as JSON, once its promise is kept.

        Raises:
            RuntimeError: It threw.
        """
        told = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: It never was.
        """
        found = self.ask(
            "new Promise((told) => { const until = performance.now() + 15000; const look = () => {"
            f"const found = ({expression}); if (found || performance.now() > until) told(!!found);"
            "else setTimeout(look, 20); }; look(); })"
        )
        if not found:
            raise TimeoutError(f"never true: {expression}")

    def screenshot(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browsing(path: str, profile: Path) -> Iterator[Browser]:
    """Run a browser, with a folder for what it keeps, and end it.

    Its end of the two pipes are the descriptors 3 and 4, which is how Chromium has it.
    """
    to_read, from_us = os.pipe()
    from_browser, to_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(to_read), str(to_write), path, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read, to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Browser(from_browser, from_us)
    finally:
        os.close(from_us)
        os.close(from_browser)
        # A browser whose pipe is closed ends by itself.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
