"""A real browser for acceptance tests: the system's own chromium, which speaks to nobody but this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["chromium"]


@contextlib.contextmanager
def chromium(*names: str) -> Iterator[Page]:
    """A page; these names lead to this machine, and all others nowhere."""
    program = shutil.which("chromium")
    if program is None:
        _missing("there is no `chromium`")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("there is no package `playwright`")
    rules = [*(f"MAP {name} 127.0.0.1" for name in names), "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", f"--host-resolver-rules={' , '.join(rules)}"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser.new_page()
        browser.close()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
