"""A real Chromium that opens pages from the disk, and what it says of them: requests, words of the console, what breaks
WCAG. It knows no page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed; Debian's package `chromium` has one"
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OWN = ("file:", "data:", "blob:file:")
"""Where a page that stands alone may look."""
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one file of tests: as long as it is there, an event loop runs, and other tests want their own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the colour scheme and width that the test asks for, watched."""
    with watched(browser, *getattr(request, "param", ())) as page:
        yield page


@contextmanager
def watched(browser: Any, scheme: str = "light", width: int = 1400) -> Iterator[Any]:
    """A page of a person who has nothing stored; fails the test for a request or a word of the console."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(OWN) else said.append(asked.url))
    yield page
    context.close()
    assert said == []


def assert_accessible(page: Any) -> None:
    """By WCAG 2.1 AA as far as axe sees, and no wider than the window."""
    from axe_playwright_python.sync_playwright import Axe

    broken = Axe().run(page, options=WCAG).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in broken] == []
    width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1], "the page is wider than the window"
