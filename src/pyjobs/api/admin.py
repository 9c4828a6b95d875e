"""Routes under /admin: admins and their sessions, in the Go original's shapes and with nobody there by default."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pyjobs.api.gate import bearer
from pyjobs.api.params import Int, Page, Params, Text
from pyjobs.api.routes import Answer, Call, PageInfo, Route
from pyjobs.api.times import rfc3339
from pyjobs.errors import Invalid, NotAllowed
from pyjobs.permits import Admin

__all__ = ["ROUTES"]

_TAG = "管理员"


class AdminShape(BaseModel):
    """An admin as everybody sees them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: int
    username: str
    status: int
    """1 启用，0 停用"""
    created_at: str
    last_login_time: str | None
    """上次登录时间，从未登录为 null"""


class LoginShape(BaseModel):
    """What a log-in gives."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    token: str
    """后续请求以 `Authorization: Bearer …` 携带"""
    token_type: str
    expires_at: str
    admin: AdminShape


class Credentials(Params):
    """Who, and the word that shows it."""

    username: Annotated[Text, Field(max_length=64, examples=["ops"])]
    """用户名"""
    password: Annotated[Text, Field(max_length=1024, examples=["a long password"])]
    """密码，至少 8 个字符"""


class Which(Params):
    """An admin by id."""

    id: Annotated[Int, Field(examples=[1])]
    """管理员 ID"""


class Status(Which):
    """An admin, and whether they may log in."""

    status: Annotated[Int, Field(examples=[0])]
    """1 启用，0 停用"""


def _login(call: Call) -> Answer:
    accounts = call.service.accounts()
    wait = accounts.wait_s(call.peer)
    if wait:
        return Answer(
            status=429, code=429, msg=f"登录失败次数过多，请在 {wait} 秒后重试", headers={"Retry-After": str(wait)}
        )
    session = accounts.log_in(call.params.username, call.params.password, call.peer)
    if session is None:
        return Answer(status=401, code=401, msg="用户名或密码错误")
    found = {
        "token": session.token,
        "token_type": "Bearer",
        "expires_at": rfc3339(session.expires_ms, call.zone),
        "admin": _shown(call, session.admin),
    }
    return Answer(msg="登录成功", data=found)


def _register(call: Call) -> Answer:
    admin = call.service.accounts().add(call.params.username, call.params.password)
    return Answer(msg="注册成功", data=_shown(call, admin))


def _profile(call: Call) -> Answer:
    return Answer(msg="获取管理员信息成功", data=_shown(call, _me(call)))


def _list(call: Call) -> Answer:
    admins = call.service.accounts().all()
    page: Page = call.params
    first = (page.number - 1) * page.rows
    shown = [_shown(call, admin) for admin in admins[first : first + page.rows]]
    return Answer(msg="查询管理员列表成功", data=shown, page=PageInfo(page.number, page.rows, len(admins)))


def _set_status(call: Call) -> Answer:
    if call.params.status not in (0, 1):
        raise Invalid("status", "has to be 0 or 1", "应为 0 或 1")
    admin = call.service.accounts().set_active(call.params.id, active=call.params.status == 1, me=_me(call))
    return Answer(msg="状态更新成功", data=_shown(call, admin))


def _delete(call: Call) -> Answer:
    admin = call.service.accounts().remove(call.params.id, me=_me(call))
    return Answer(msg="删除成功", data=_shown(call, admin))


def _me(call: Call) -> Admin:
    admin = call.service.accounts().session(bearer(call.environ))
    if admin is None:  # it ended since the gate looked
        raise NotAllowed("the session is over", "登录已失效")
    return admin


def _shown(call: Call, admin: Admin) -> dict[str, Any]:
    zone = call.zone
    return {
        "id": admin.id,
        "username": admin.name,
        "status": int(admin.active),
        "created_at": rfc3339(admin.created_ms, zone),
        "last_login_time": rfc3339(admin.login_ms, zone),
    }


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/admin/login",
        summary="管理员登录",
        tag=_TAG,
        scope="free",
        handler=_login,
        params=Credentials,
        answer=LoginShape,
        statuses=(200, 401, 429),
    ),
    Route(
        method="POST",
        path="/admin/register",
        summary="添加管理员",
        tag=_TAG,
        scope="session",
        handler=_register,
        params=Credentials,
        answer=AdminShape,
    ),
    Route(
        method="GET",
        path="/admin/profile",
        summary="当前管理员",
        tag=_TAG,
        scope="session",
        handler=_profile,
        answer=AdminShape,
    ),
    Route(
        method="GET",
        path="/admin/list",
        summary="管理员列表",
        tag=_TAG,
        scope="session",
        handler=_list,
        params=Page,
        answer=list[AdminShape],
        paged=True,
    ),
    Route(
        method="POST",
        path="/admin/status",
        summary="启用或停用管理员",
        tag=_TAG,
        scope="session",
        handler=_set_status,
        params=Status,
        answer=AdminShape,
    ),
    Route(
        method="POST",
        path="/admin/delete",
        summary="删除管理员",
        tag=_TAG,
        scope="session",
        handler=_delete,
        params=Which,
        answer=AdminShape,
    ),
)
