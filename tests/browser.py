"""Headless Chromium over its debugging pipe: what a page looks like, and what it complains of."""

import contextlib
import json
import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


def find_browser():
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab. Commands are those of https://chromedevtools.github.io/devtools-protocol."""

    def __init__(self, commands, replies):
        self._commands, self._replies, self._sent, self._session = commands, replies, 0, {}
        self.complaints = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        """Sends a command and returns its result; notes complaints that arrive before it."""
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": parameters} | self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        reply = self._read(lambda message: message.get("id") == self._sent)
        assert "error" not in reply, reply
        return reply["result"]

    def show(self, path, width, scheme):
        """Opens a file in a window of some width, in "light" or "dark"."""
        self.complaints = []
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", features=features)
        self("Page.navigate", url=path.as_uri())
        self._read(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression):
        """The value of a JavaScript expression, which the page's own policy does not bind."""
        value = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in value, value
        return value["result"].get("value")

    def _read(self, wanted):
        while True:
            raw = bytearray()
            while (byte := self._replies.read(1)) != b"\0":
                assert byte, "the browser has gone"
                raw += byte
            message = json.loads(raw)
            if message.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled"):
                self.complaints.append(message["params"])
            if message.get("method") == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    self.complaints.append(url)
            if wanted(message):
                return message


@contextlib.contextmanager
def open_browser(profile):
    """Starts a browser whose profile lies in a folder, and ends it."""
    command_out, command_in = os.pipe()
    reply_out, reply_in = os.pipe()
    # The pipe's ends are file descriptors 3 and 4 in the browser.
    start = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
    arguments = (*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank")
    process = subprocess.Popen(
        ["bash", "-c", start, "-", find_browser(), *arguments],
        env=os.environ | {"IN": str(command_out), "OUT": str(reply_in)},
        pass_fds=(command_out, reply_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_out)
    os.close(reply_in)
    with open(command_in, "wb") as commands, open(reply_out, "rb") as replies:
        try:
            yield Browser(commands, replies)
        finally:
            process.kill()
            process.wait()
