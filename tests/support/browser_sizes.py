"""Screens to open a page on."""

from collections.abc import Callable

from playwright.sync_api import Page, ViewportSize

OpenPage = Callable[..., Page]

DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
