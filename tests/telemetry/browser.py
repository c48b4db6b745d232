"""A headless Chromium, controlled through a pipe by the Chrome DevTools Protocol.

Each message is JSON that ends with a zero byte.
"""

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
    # A sandbox cannot be made in many containers, and the only page is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
# It goes through descriptors 98 and 99, because one of the two given ones may already be 3 or 4.
_START = """
import os, sys
os.dup2(int(sys.argv[1]), 98), os.dup2(int(sys.argv[2]), 99)
os.dup2(98, 3), os.dup2(99, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
SECONDS = 60.0


def chromium() -> str | None:
    """Return the path of a Chromium, None if there is none on PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab of a running browser.

    Attributes:
        errors: The exceptions of the page and the violations of its policy so far.
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
            RuntimeError: The browser refused the command.
            TimeoutError: The browser did not answer in time.
        """
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            self._note_errors(answer)
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
        received: dict[str, Any] = json.loads(message)
        return received

    def _note_errors(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["source"] in ("security", "violation", "javascript"):
                self.errors.append(parameters["entry"]["text"])

    def open(self, url: str, *, width: int = 1440, height: int = 1100, scheme: str = "light") -> None:
        """Open a page in a window of this size, in CSS pixels, with a preferred color scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.command("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which must be JSON, after its promise is resolved.

        Raises:
            RuntimeError: The expression threw.
        """
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true.

        Raises:
            TimeoutError: It was not true within the time limit.
        """
        found = self.evaluate(
            "new Promise((resolve) => { const until = performance.now() + 30000; const look = () => {"
            f"const found = ({expression}); if (found || performance.now() > until) resolve(!!found);"
            "else setTimeout(look, 20); }; look(); })"
        )
        if not found:
            raise TimeoutError(f"never true: {expression}")

    def screenshot(self) -> bytes:
        """Return the content of the window as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browsing(path: str, profile: Path) -> Iterator[Browser]:
    """Run a browser with a folder for its profile, and end it.

    Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
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
        # A browser ends by itself when its pipe is closed.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
