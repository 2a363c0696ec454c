"""Headless Chromium over its debugging pipe: loads one file at a time, and tells what it complained of or fetched; and
a page's text, links and data without it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "Home": 36, "ArrowLeft": 37, "ArrowDown": 40}

ALOUD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")

FOCUSED = """(() => {
  const focused = document.activeElement, box = focused.getBoundingClientRect();
  const x = (Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2;
  const y = (Math.max(box.top, 0) + Math.min(box.bottom, innerHeight)) / 2;
  const top = document.elementFromPoint(x, y), outline = getComputedStyle(focused).outlineStyle;
  return [focused.tagName, focused.name || focused.textContent.trim(), outline !== 'none' && focused.contains(top)];
})()"""

CUT_OFF = """[...document.querySelectorAll('body *:not(.skip)')].filter(element => {
  const box = element.getBoundingClientRect();
  for (let above = element.parentElement; above; above = above.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(above).overflowX) || above.className === 'strip') return false;
  const clips = ['hidden', 'clip'].includes(getComputedStyle(element).overflowX) && !element.closest('svg');
  return box.width && (box.left < -1 || box.right > innerWidth + 1 || clips && element.scrollWidth > box.width + 1);
}).map(element => element.outerHTML.slice(0, 80))"""


class Page(HTMLParser):
    """Elements of a page, ids, links, the text that is shown, and the scripts and styles in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []
        self.embedded: list[str] = []
        self.tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        named = dict(attributes)
        self.ids += [str(named["id"])] if "id" in named else []
        self.links += [str(named[key]) for key in ("href", "src", "xlink:href") if key in named]

        self.tag = tag

    def handle_data(self, data: str) -> None:
        if self.tag in ("script", "style"):
            self.embedded.append(data)
        else:
            self.said.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.tag = ""

    @property
    def data(self) -> Any:
        """What the page's scripts draw."""
        return json.loads(next(text for text in self.embedded if text.startswith("{")))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def number(text: str) -> float:
    return float(text.replace("Δ", "").split("±")[0].replace("%", ""))


class Browser:
    """A Chromium with one tab; a context manager.

    Attributes:
        events: what the tab reported since the last ``open``: console messages, exceptions, log entries, requests.
    """

    def __init__(self, profile: Path) -> None:
        down, up = os.pipe(), os.pipe()  # Chromium reads commands from 3 and writes answers to 4
        flags = ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars", "disable-background-networking")
        command = [str(CHROMIUM), *(f"--{flag}" for flag in flags), f"--user-data-dir={profile}"]
        redirect = f'exec "$@" 3<&{down[0]} 4>&{up[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(down[0], up[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down[0]), os.close(up[1])
        self._to, self._from = down[1], up[0]
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(30)
        os.close(self._to), os.close(self._from)

    def open(self, file: Path, width: int, scheme: str) -> None:
        """Load a file in a window ``width`` pixels wide, in the colour scheme ``light`` or ``dark``."""
        self.events.clear()
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=file.resolve().as_uri())
        self._until(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))

    def print_problems(self, file: Path) -> list[str]:
        """What is wrong with a page on paper of 7.5 inches: controls, another ground than white, what is cut off."""
        self.open(file, 720, "dark")
        self.call("Emulation.setEmulatedMedia", media="print", features=[])
        try:
            problems = list(self.evaluate(CUT_OFF))
            ground = "getComputedStyle(%s).backgroundColor"
            grounds = [self.evaluate(ground % each) for each in ("document.body", "document.querySelector('.panel')")]
            problems += [ground for ground in grounds if ground != "rgb(255, 255, 255)"]
            controls = "[...document.querySelectorAll('nav, select, .skip, .tools button')]"
            problems += self.evaluate(f"{controls}.filter(each => each.checkVisibility()).map(each => each.outerHTML)")
        finally:
            self.call("Emulation.setEmulatedMedia", media="")
        return problems

    def press(self, key: str) -> None:
        """Press a key of ``KEYS`` and let it go."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key], "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def tab_stops(self) -> list[tuple[str, str]]:
        """Tag and text of what Tab leads to from the top of the page on, each outlined and not covered by anything."""
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        stops: list[tuple[str, str]] = []
        for _ in range(1000):
            self.press("Tab")
            tag, text, is_visible = self.evaluate(FOCUSED)
            if tag == "BODY" or (stops and (tag, text) == stops[0]):
                return stops
            assert is_visible, f"{tag} {text} is hidden or has no outline"
            stops.append((tag, text))
        raise AssertionError("Tab does not come to an end")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol and its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._until(lambda: bool(answers), lambda said: answers.append(said) if said.get("id") == number else None)
        if "error" in answers[0]:
            raise RuntimeError(f"{method}: {answers[0]['error']}")
        return dict(answers[0]["result"])

    def _until(self, done: Any, heed: Any = lambda said: None, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not done():
            if not select.select([self._from], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError(f"Chromium did not answer within {seconds:g} s")
            read = os.read(self._from, 1 << 20)
            if not read:
                raise RuntimeError("Chromium ended")
            *whole, self._buffer = (self._buffer + read).split(b"\0")
            for text in whole:
                said = json.loads(text)
                if "method" in said:
                    self.events.append(said)
                heed(said)
