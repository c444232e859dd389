"""A real browser for tests: the system's Chromium, driven by playwright, whose own browsers are not fetched."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
# WebGL in software, as there is no graphics card; root has no sandbox.
_FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_PATIENCE_MS = 150_000  # a loaded machine, drawing in software
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1, "is_mobile": True, "has_touch": True}


@contextmanager
def started() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PROGRAM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, **device) -> Iterator[Page]:
    """A page of its own; an error in it fails the test."""
    context = browser.new_context(**({"viewport": {"width": 640, "height": 400}} | device))
    context.set_default_timeout(_PATIENCE_MS)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    try:
        yield page
        assert not wrong
    finally:
        context.close()
