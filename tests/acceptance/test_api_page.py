"""The documentation's page in a real browser without a network: opened, and a job added from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from .conftest import Home
from .rest import Rest, rest_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    yield rest_of(home)
    home.pyjobs("daemon", "stop")


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Debian's own chromium, which may speak to nobody but this machine."""
    program = shutil.which("chromium")
    if program is None:
        _missing("there is no `chromium`")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("there is no package `playwright`")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser.new_page()
        browser.close()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_job_is_added_from_the_page(rest: Rest, page: Page, prefix: str) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{rest.base}{prefix}/swagger/index.html")
    operation = page.locator("[id$=post_jobs_add]")
    operation.locator("button.opblock-summary-control").click()
    operation.locator("button.try-out__btn").click()
    assert "数据备份任务" in operation.locator("textarea.body-param__text").input_value()
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.wait_for()

    assert answer.locator(".response-col_status").inner_text().strip() == "200"
    assert "任务添加成功" in answer.inner_text()
    assert [job["name"] for job in rest.data("GET", "/jobs/list")] == ["数据备份任务"]
    assert f"{rest.base}{prefix}/jobs/add" in asked
    assert complaints == [], "the policy, or a file that is not there"
    assert all(url.startswith((rest.base, "data:")) for url in asked)
