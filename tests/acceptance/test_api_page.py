"""The documentation's page in a real browser without a network: opened, and a job added from it, with a token too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .browser import chromium
from .conftest import Home
from .rest import Rest, rest_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    yield rest_of(home)
    home.pyjobs("daemon", "stop")


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as page:
        yield page


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
    assert "任务添加成功" in executed(operation, 200)
    assert [job["name"] for job in rest.data("GET", "/jobs/list")] == ["数据备份任务"]
    assert f"{rest.base}{prefix}/jobs/add" in asked
    assert complaints == [], "the policy, or a file that is not there"
    assert all(url.startswith((rest.base, "data:")) for url in asked)


def executed(operation: Locator, status: int) -> str:
    """What the page shows of an answer with this status, once it is asked for."""
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.locator(".response-col_status", has_text=str(status)).wait_for()
    return answer.inner_text()


def test_where_a_token_is_needed_the_page_opens_without_it_and_sends_the_one_that_it_is_given(
    home: Home, page: Page
) -> None:
    rest = rest_of(home, API_TOKEN="the right token")
    page.goto(f"{rest.base}/docs")
    operation = page.locator("[id$=get_jobs_list]")
    operation.locator("button.opblock-summary-control").click()
    operation.locator("button.try-out__btn").click()
    assert "请提供访问令牌" in executed(operation, 401)

    page.locator("button.btn.authorize").click()
    page.locator(".modal-ux input").fill("the right token")
    page.locator(".modal-ux button.authorize").click()
    page.locator(".modal-ux button.btn-done").click()
    assert "查询任务列表成功" in executed(operation, 200)
    home.pyjobs("daemon", "stop")
