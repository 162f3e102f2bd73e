"""Debian's Chromium, driven for a test: it looks at the page as a person's browser does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

PROGRAM = shutil.which("chromium")
MISSING = "There is no chromium on PATH: apt-get install chromium, or: make browser"

DROP = """([type, files]) => {
  const data = new DataTransfer();
  for (const [name, kind, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: kind }));
  }
  const init = { bubbles: true, cancelable: true };
  const event = type === "paste"
    ? new ClipboardEvent(type, { ...init, clipboardData: data })
    : new DragEvent(type, { ...init, dataTransfer: data });
  document.body.dispatchEvent(event);
}"""
"""A drop or a paste of real files; the browser gives no other way to make one without a pointer."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """The page, open, and what the browser noticed meanwhile."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """The address of every request."""
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, warnings, violations of the policy; not that an answer had an error status."""

    def violations(self) -> list[str]:
        """Return what axe-core finds that would keep people from using the page as it is now."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]]


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Open the page in a browser that knows nothing yet.

    Parameters
    ----------
    options
        As Playwright names those of a context: ``viewport``, ``color_scheme``, …
    """
    context = browser.new_context(reduced_motion="reduce", **options)
    try:
        visited = Visit(context.new_page())
        visited.page.on("request", lambda request: visited.requests.append(request.url))
        visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        visited.page.on("console", lambda message: _hear(visited, message))
        visited.page.goto(url)
        yield visited
    finally:
        context.close()


def _hear(visited: Visit, message: ConsoleMessage) -> None:
    if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
        visited.complaints.append(message.text)
