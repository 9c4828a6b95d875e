"""The gate around the app: every route of the live table against whoever may not, odd paths, stored changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from waiting import wait_for

from pyjobs.api.app import make_app, served_at
from pyjobs.api.gate import DoorKeeper
from pyjobs.api.routes import Answer, Call, Refusal, Route
from pyjobs.api.table import ROUTES
from pyjobs.clock import SystemClock
from pyjobs.config import Settings
from pyjobs.permits import LOOPBACK, SCOPES, IpList
from pyjobs.service.access import Access
from pyjobs.service.accounts import Accounts
from pyjobs.store import open_store

from .api_kit import Api, Reply, an_api

#: What a whitelisted caller may ask without any token. Whoever adds to it has to mean it.
FREE = {
    "/", "/health", "/health/db", "/health/scheduler", "/admin/login",
    # A browser that opens the documentation has no token to show, and it holds no data.
    "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/swagger/index.html",
    "/openapi.json", "/swagger/doc.json",
}  # fmt: skip
#: POST routes that change nothing.
READS_BY_POST = {"/jobs/logs"}
PLACES = [(route, path) for route in ROUTES for _, path in served_at(route)]
GUARDED = [(route, path) for route, path in PLACES if route.scope != "free"]


@dataclass
class Guarded:
    """The app with its real gate, and handlers that only note that they were reached."""

    api: Api
    clock: FakeClock
    reached: list[str]

    @property
    def access(self) -> Access:
        return self.api.site.service.access()

    def call(self, method: str, path: str, *, peer: str = "127.0.0.1", **headers: str) -> Reply:
        return self.api.call(method, path, peer=peer, headers=headers)

    def pause(self) -> None:
        """Let the gate look at what is stored."""
        self.clock.advance(0.5)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with an_api(tmp_path) as api:
        reached: list[str] = []

        def spy(call: Call) -> Answer:
            reached.append(call.environ["PATH_INFO"])
            return Answer(msg="reached")

        clock = FakeClock()
        site, service = api.site, api.site.service
        site.gate = DoorKeeper(site.settings, service.access(), service.accounts(), clock)
        api.app = make_app(site, [replace(route, handler=spy, params=None, bare=False) for route in ROUTES])
        yield Guarded(api, clock, reached)


def refused(reply: Reply, status: int) -> None:
    """It says so in the envelope, and nothing else."""
    assert (reply.status, reply.json["code"], reply.json["data"]) == (status, status, None)
    assert "Access-Control-Allow-Origin" not in reply.headers


class TestEveryRoute:
    def test_the_live_table_is_the_declared_one(self, guarded: Guarded) -> None:
        declared = {(path, route.method) for route, path in PLACES}
        served = {(route.rule, route.method) for route in guarded.api.app.routes}  # type: ignore[attr-defined]
        assert {entry for entry in served if entry[1] != "OPTIONS"} == declared
        assert len(declared) == len(PLACES), "two routes have one place"

    def test_each_says_what_it_needs(self) -> None:
        assert {route.scope for route in ROUTES} <= {"free", "session", *SCOPES}
        assert {path for route in ROUTES for path in route.paths if route.scope == "free"} == FREE
        changing = {route.path for route in ROUTES if route.method == "POST" and route.scope == "read"}
        assert changing == READS_BY_POST
        assert all(route.scope == "session" for route in ROUTES if route.path.startswith("/admin/")
                   and route.path != "/admin/login")  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "how"),
        [
            (403, {"peer": "10.0.0.1"}),
            (403, {"peer": "10.0.0.1", "x_forwarded_for": "127.0.0.1"}),
            (403, {"peer": "::ffff:10.0.0.1"}),
            (400, {"peer": "0177.0.0.1"}),
            (400, {"peer": ""}),
            (421, {"host": "evil.example"}),
            (421, {"host": "127.0.0.1.nip.io"}),
            (421, {"host": ""}),
            (421, {"host": "127.0.0.1:8000,evil.example"}),
            (403, {"origin": "https://evil.example"}),
            (403, {"origin": "null"}),
            (403, {"sec_fetch_site": "cross-site"}),
        ],
        ids=str,
    )
    def test_none_is_reached_from_where_nobody_may_come(
        self, guarded: Guarded, status: int, how: dict[str, str]
    ) -> None:
        for route, path in PLACES:
            for method in {route.method, "HEAD", "OPTIONS"} - ({"HEAD"} if route.method == "POST" else set()):
                reply = guarded.call(method, path, **how)
                assert reply.status == status, (method, path)
                if method != "HEAD":
                    refused(reply, status)
        for path in ("/nope", "/api", "/jobs/list/../add", "/\udcff".encode("utf-8", "replace").decode()):
            refused(guarded.call("GET", path, **how), status)
        assert guarded.reached == []

    def test_none_but_the_free_ones_is_reached_without_the_right_token(self, guarded: Guarded) -> None:
        _, revoked = guarded.access.add_token("revoked", SCOPES)
        guarded.access.add_token("needed", ["read"])
        guarded.access.revoke_token("revoked")
        guarded.pause()
        wrong = ("", "Bearer", "Bearer x", f"Bearer {revoked}", f"Basic {revoked}", "Bearer null", "Bearer undefined")
        for route, path in GUARDED:
            for shown in wrong:
                refused(guarded.call(route.method, path, authorization=shown), 401)
                refused(guarded.call(route.method, f"{path}/", authorization=shown), 401)
            if route.method == "GET":
                assert guarded.call("HEAD", path).status == 401
        assert guarded.reached == []
        for path in FREE - {"/admin/login"}:
            assert guarded.call("GET", path).status == 200
        assert len(guarded.reached) == len(FREE) - 1

    @pytest.mark.parametrize("scope", SCOPES)
    def test_a_token_reaches_its_scope_and_no_other(self, guarded: Guarded, scope: str) -> None:
        _, text = guarded.access.add_token("t", [scope])
        guarded.pause()
        for route, path in GUARDED:
            reply = guarded.call(route.method, path, authorization=f"Bearer {text}")
            if route.scope == "session":
                refused(reply, 401)
            elif scope in (route.scope, "admin"):
                assert (reply.status, guarded.reached.pop()) == (200, path)
            else:
                refused(reply, 403)
            assert guarded.reached == []

    def test_what_needs_a_session_is_not_reached_without_one_even_where_no_token_is_set(self, guarded: Guarded) -> None:
        for route, path in GUARDED:
            if route.scope == "session":
                refused(guarded.call(route.method, path), 401)
                refused(guarded.call(route.method, path, authorization="Bearer eyJhbGciOiJub25lIn0.e30."), 401)
        assert guarded.reached == []


class TestOddPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/Jobs/add",
            "/JOBS/ADD",
            "/jobs/Add",
            "//jobs/add",
            "/jobs//add",
            "/jobs/add//",
            "/./jobs/add",
            "/jobs/./add",
            "/jobs/x/../add",
            "/../jobs/add",
            "/jobs/add/.",
            "/jobs/add;x",
            "/jobs;x/add",
            "/jobs/add\x00",
            "/jobs/add\x00.css",
            "/jobs/add%00",
            "/jobs%2fadd",
            "/jobs%2Fadd",
            "/jobs/%61dd",
            "/jobs\\add",
            "/jobs/add ",
            " /jobs/add",
            "/jobs/add\n",
            "/jobs/add?",
            "/jobs/add#",
            "/jobs/add.json",
            "/jobs/ａdd",
            "/api/api/jobs/add",
            "/API/jobs/add",
            "/api//jobs/add",
            "/docs/../jobs/add",
            "/health/../jobs/add",
            "jobs/add",
            "",
            "*",
            "http://127.0.0.1:8000/jobs/add",
        ],
    )
    def test_no_other_spelling_reaches_a_handler_without_authorisation(self, guarded: Guarded, path: str) -> None:
        _, text = guarded.access.add_token("t", SCOPES)
        guarded.pause()
        for method in ("POST", "GET"):
            reply = guarded.call(method, path)
            # An empty path is the root, which is free.
            assert reply.status in (401, 404) or (method, path, reply.status) == ("GET", "", 200)
            assert guarded.reached == (["/"] if reply.status == 200 else []) or path == ""
            guarded.reached.clear()
        guarded.call("POST", path, authorization=f"Bearer {text}")
        assert guarded.reached in ([], ["/jobs/add"])

    def test_bytes_that_are_no_utf_8_do_not_become_another_path(self, guarded: Guarded) -> None:
        for raw in (b"/jobs/a\xffdd", b"/jobs/add\xff", b"/\xc0\xaejobs/add", b"/jobs\xc0\xafadd"):
            environ_path = raw.decode("latin-1").encode("latin-1").decode("utf-8", "surrogateescape")
            with pytest.raises(UnicodeEncodeError):
                environ_path.encode()
            reply = _raw(guarded, raw)
            refused(reply, 404)
        assert guarded.reached == []

    @pytest.mark.parametrize(
        "headers",
        [
            {"x_http_method_override": "POST"},
            {"x_method_override": "POST"},
            {"x_http_method": "POST"},
            {"x_original_url": "/jobs/add", "x_rewrite_url": "/jobs/add"},
            {"x_forwarded_prefix": "/jobs", "x_script_name": "/jobs"},
        ],
    )
    def test_no_header_makes_another_request_of_it(self, guarded: Guarded, headers: dict[str, str]) -> None:
        refused(guarded.call("GET", "/jobs/add", **headers), 404)
        assert guarded.api.call("GET", "/jobs/add", query={"_method": "POST"}, headers=headers).status == 404
        assert guarded.call("GET", "/health", **headers).status == 200
        assert guarded.reached == ["/health"]

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X"])
    def test_no_other_method_reaches_anything(self, guarded: Guarded, method: str) -> None:
        for _, path in PLACES:
            assert guarded.call(method, path).status == 404
        assert guarded.reached == []


def _raw(guarded: Guarded, path: bytes) -> Reply:
    """A request whose path is these bytes, as a server hands them over."""
    said: list[Any] = []
    environ = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path.decode("latin-1"), "QUERY_STRING": "",
        "SERVER_NAME": "x", "SERVER_PORT": "80", "HTTP_HOST": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
    }  # fmt: skip
    chunks = guarded.api.app(environ, lambda status, head, _exc=None: said.extend([status, head]))
    return Reply(int(said[0][:3]), dict(said[1]), b"".join(chunks))


class TestAnswers:
    def test_a_page_that_the_settings_name_sees_the_answer(self, tmp_path: Path) -> None:
        with an_api(tmp_path, cors_origins="https://ops.example.com") as api:
            service = api.site.service
            api.site.gate = DoorKeeper(api.site.settings, service.access(), service.accounts(), SystemClock())
            named = {"origin": "https://ops.example.com", "sec_fetch_site": "cross-site"}
            reply = api.call("GET", "/jobs/list", headers=named)
            assert reply.headers["Access-Control-Allow-Origin"] == "https://ops.example.com"
            preflight = api.call("OPTIONS", "/jobs/add", headers={**named, "access_control_request_method": "POST"})
            assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
            refused(api.call("GET", "/jobs/list", headers={"origin": "https://evil.example"}), 403)

    def test_a_rate_is_kept(self, tmp_path: Path) -> None:
        with an_api(tmp_path, rate_limit=3) as api:
            service = api.site.service
            api.site.gate = DoorKeeper(api.site.settings, service.access(), service.accounts(), FakeClock())
            assert [api.get("/jobs/jobStatus").status for _ in range(4)] == [200, 200, 200, 429]
            reply = api.get("/jobs/jobStatus")
            refused(reply, 429)
            assert int(reply.headers["Retry-After"]) == 20

    def test_the_answer_to_a_stranger_tells_what_to_do(self, guarded: Guarded) -> None:
        guarded.access.add_token("t", ["read"])
        guarded.pause()
        reply = guarded.call("GET", "/jobs/list")
        assert reply.headers["Www-Authenticate"] == "Bearer"
        assert reply.msg == "未授权：请提供访问令牌"


class TestIpControl:
    @pytest.fixture
    def api(self, tmp_path: Path) -> Iterator[Api]:
        with an_api(tmp_path) as api:
            service = api.site.service
            api.site.gate = DoorKeeper(api.site.settings, service.access(), service.accounts(), SystemClock())
            yield api

    def test_the_lists_are_shown_in_data_and_beside_it(self, api: Api) -> None:
        found = api.get("/jobs/ip-control/status").json
        lists = {"enabled": True, "whitelist": ["127.0.0.1", "::1"], "blacklist": []}
        assert found == {"code": 200, "msg": "获取IP控制状态成功", "data": lists, **lists}

    def test_entries_come_and_go(self, api: Api) -> None:
        for ip in ("10.1.2.3", "2001:DB8::/32", "10.9.9.9/8", "::ffff:192.0.2.1"):
            assert api.post("/jobs/ip-control/whitelist/add", {"ip": ip}).msg == "IP已添加到白名单"
        status = api.get("/jobs/ip-control/status").data
        assert status["whitelist"][2:] == ["10.1.2.3", "2001:db8::/32", "10.0.0.0/8", "192.0.2.1"]
        again = api.post("/jobs/ip-control/whitelist/add", {"ip": "10.0.0.0/8"}).json
        assert again == {"code": 404, "msg": "添加白名单失败：IP 10.0.0.0/8 已在白名单中", "data": None}
        assert api.post("/jobs/ip-control/whitelist/remove", {"ip": "10.1.2.3"}).msg == "IP已从白名单中移除"
        gone = api.post("/jobs/ip-control/whitelist/remove", {"ip": "10.1.2.3"}).json
        assert gone["msg"] == "移除白名单失败：IP 10.1.2.3 不在白名单中"

    @pytest.mark.parametrize("ip", ["300.1.1.1", "10.2.0.0/99", "010.0.0.1", "localhost", "10.0.0.1 ", "' OR 1=1 --"])
    def test_what_is_no_address_is_refused_and_not_stored(self, api: Api, ip: str) -> None:
        reply = api.post("/jobs/ip-control/blacklist/add", {"ip": ip}).json
        if ip.strip() == "10.0.0.1":
            assert reply["code"] == 200
            return
        assert (reply["code"], reply["msg"].startswith("添加黑名单失败：`")) == (404, True)
        assert api.get("/jobs/ip-control/status").data["blacklist"] == []

    @pytest.mark.parametrize("path", ["whitelist/remove", "blacklist/add"])
    def test_one_cannot_lock_oneself_out(self, api: Api, path: str) -> None:
        for ip in ("127.0.0.1", "::ffff:127.0.0.1"):
            assert api.post(f"/jobs/ip-control/{path}", {"ip": ip}).json["code"] == 404
        assert api.get("/jobs/ip-control/status").data["blacklist"] == []
        assert api.get("/jobs/jobStatus").status == 200

    def test_but_by_force(self, api: Api) -> None:
        refusal = api.post("/jobs/ip-control/blacklist/add", {"ip": "127.0.0.0/8"}).msg
        assert refusal == "添加黑名单失败：这会使当前地址 127.0.0.1 无法访问（如确需执行，请加上 force）"
        assert api.post("/jobs/ip-control/blacklist/add", {"ip": "127.0.0.0/8", "force": True}).json["code"] == 200
        wait_for(lambda: api.get("/jobs/jobStatus").status == 403, "the list holds", 2)

    def test_a_stored_entry_that_lets_oneself_in_is_kept(self, api: Api) -> None:
        api.site.service.access().add(IpList.ALLOW, "10.0.0.7", "test", me=LOOPBACK)
        wait_for(lambda: api.call("GET", "/jobs/jobStatus", peer="10.0.0.7").status == 200, "it is let in", 2)
        body = json.dumps({"ip": "10.0.0.7"}).encode()
        reply = api.call("POST", "/jobs/ip-control/whitelist/remove", body=body, peer="10.0.0.7")
        assert reply.msg.startswith("移除白名单失败：这会使当前地址 10.0.0.7 无法访问")


class TestAdmin:
    @pytest.fixture
    def api(self, tmp_path: Path) -> Iterator[Api]:
        with an_api(tmp_path) as api:
            service = api.site.service
            api.site.gate = DoorKeeper(api.site.settings, service.access(), service.accounts(), SystemClock())
            service.accounts().add("ops", "a long password")
            yield api

    @staticmethod
    def log_in(api: Api, name: str = "ops", password: str = "a long password") -> dict[str, str]:
        found = api.post("/admin/login", {"username": name, "password": password}).data
        assert found["token_type"] == "Bearer"
        return {"authorization": f"Bearer {found['token']}"}

    def test_an_admin_logs_in_and_sees_themselves(self, api: Api) -> None:
        headers = self.log_in(api)
        profile = api.get("/admin/profile", **headers).data
        assert (profile["username"], profile["status"]) == ("ops", 1)
        assert profile["last_login_time"] is not None
        assert "password" not in json.dumps(api.get("/admin/list", **headers).json)
        assert (api.site.settings.home / "data" / "api-secret").stat().st_mode & 0o777 == 0o600

    def test_admins_are_registered_stopped_and_deleted(self, api: Api) -> None:
        headers = self.log_in(api)
        account = {"username": "second", "password": "another password"}
        second = api.post("/admin/register", account, headers=headers).data
        assert api.post("/admin/register", account, headers=headers).json["code"] == 404
        theirs = self.log_in(api, "second", "another password")
        listed = api.get("/admin/list", **headers).json
        assert ([a["username"] for a in listed["data"]], listed["total"]) == (["ops", "second"], 2)
        stopped = api.post("/admin/status", {"id": second["id"], "status": 0}, headers=headers).data
        assert stopped["status"] == 0
        assert api.get("/admin/profile", **theirs).status == 401
        assert api.post("/admin/login", account).status == 401
        api.post("/admin/status", {"id": second["id"], "status": 1}, headers=headers)
        assert api.get("/admin/profile", **theirs).status == 401, "an old session does not come back"
        theirs = self.log_in(api, "second", "another password")
        assert api.post("/admin/delete", {"id": second["id"]}, headers=headers).msg == "删除成功"
        assert api.get("/admin/profile", **theirs).status == 401

    def test_nobody_locks_themselves_out(self, api: Api) -> None:
        headers = self.log_in(api)
        me = api.get("/admin/profile", **headers).data["id"]
        for path, body in (("status", {"id": me, "status": 0}), ("delete", {"id": me})):
            reply = api.post(f"/admin/{path}", body, headers=headers).json
            assert (reply["code"], reply["msg"]) == (404, "不能停用或删除自己")
        assert api.get("/admin/profile", **headers).status == 200

    @pytest.mark.parametrize(
        "body",
        [
            {"username": "ops", "password": "wrong password"},
            {"username": "admin", "password": "admin123"},
            {"username": "OPS", "password": "a long password"},
            {"username": "' OR '1'='1", "password": "a long password"},
            {"username": "ops", "password": "a long password "},
        ],
    )
    def test_who_is_not_known_is_not_let_in(self, api: Api, body: dict[str, str]) -> None:
        reply = api.post("/admin/login", body)
        refused(reply, 401)
        assert reply.msg == "用户名或密码错误"

    def test_what_is_missing_or_too_short_is_named(self, api: Api) -> None:
        assert api.post("/admin/login", {"username": "ops"}).msg == "参数错误：password：不能为空"
        headers = self.log_in(api)
        for body, field in (
            ({"username": "x", "password": "short"}, "password"),
            ({"username": "a\nb", "password": "long enough"}, "username"),
            ({"username": " ", "password": "long enough"}, "username"),
        ):
            reply = api.post("/admin/register", body, headers=headers).json
            assert (reply["code"], reply["msg"].startswith(f"参数错误：{field}")) == (404, True)
        assert api.post("/admin/status", {"id": 1, "status": 7}, headers=headers).msg.startswith("参数错误：status")
        assert api.post("/admin/delete", {"id": 99}, headers=headers).msg == "管理员不存在"

    def test_guessing_has_to_wait(self, api: Api) -> None:
        body = {"username": "ops", "password": "wrong password"}
        assert [api.post("/admin/login", body).status for _ in range(6)] == [401] * 5 + [429]
        right = {"username": "ops", "password": "a long password"}
        reply = api.post("/admin/login", right)
        assert (reply.status, 1 <= int(reply.headers["Retry-After"]) <= 12) == (429, True)
        assert api.call("POST", "/admin/login", body=json.dumps(right).encode(), peer="::1").status == 200


class TestStored:
    def test_a_change_is_effective_in_another_gate_over_the_same_file_within_a_second(self, tmp_path: Path) -> None:
        settings, clock = Settings(home=tmp_path), SystemClock()
        stores = [open_store(settings) for _ in range(2)]
        here, there = (Access(store, clock, settings) for store in stores)
        gate = DoorKeeper(settings, there, Accounts(stores[1], clock, lambda: b""), clock)
        route = Route(method="GET", path="/x", summary="x", tag="x", scope="read", handler=lambda _: Answer())

        def seen(peer: str) -> int:
            found = gate.admit({"REMOTE_ADDR": peer, "HTTP_HOST": "localhost"})
            if isinstance(found, Refusal):
                return found.status
            refusal = gate.authorise(route, {}, found)
            return refusal.status if refusal else 200

        def within_a_second(peer: str, status: int) -> None:
            begun = time.monotonic()
            wait_for(lambda: seen(peer) == status, f"{peer} gets {status}", 5)
            assert time.monotonic() - begun < 1

        assert seen("10.1.2.3") == 403
        here.add(IpList.ALLOW, "10.0.0.0/8", "me", me=LOOPBACK)
        within_a_second("10.1.2.3", 200)
        here.add(IpList.DENY, "10.1.0.0/16", "me", me=LOOPBACK)
        within_a_second("10.1.2.3", 403)
        here.add_token("t", ["read"])
        within_a_second("127.0.0.1", 401)
        here.revoke_token("t")
        within_a_second("127.0.0.1", 200)
        for store in stores:
            store.close()
