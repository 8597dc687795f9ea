"""A real browser: Debian's Chromium, driven by Playwright."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support.browser_sizes import DESK, OpenPage
from tests.support.chromium import chromium

_PATIENCE_MS = 120_000
"""milliseconds; two cores with much other work draw slowly"""
_OF_SCREENSHOTS = "GPU stall due to ReadPixels"


# Not for the whole session: while Playwright runs, its event loop changes how Prefect answers other
# tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    with sync_playwright() as playwright:
        # The sandbox of Chromium refuses to run as root, as which containers run.
        running = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a file from disk; at the end of the test, the page must have had no complaint and no request."""
    troubles: list[str] = []

    def open_file(
        path: Path, viewport: ViewportSize = DESK, before: str = "", **context: object
    ) -> Page:
        page = browser.new_page(viewport=viewport, **context)  # pyright: ignore[reportArgumentType]
        page.set_default_timeout(_PATIENCE_MS)
        page.add_init_script(before)
        page.on(
            "console",
            lambda message: (
                _OF_SCREENSHOTS in message.text
                or troubles.append(f"{message.type}: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or troubles.append(f"request: {request.url}")
            ),
        )
        page.goto(path.as_uri())
        return page

    yield open_file
    assert troubles == []
