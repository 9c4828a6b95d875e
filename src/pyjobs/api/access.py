"""Routes under /jobs/ip-control: the lists of addresses, as the web page of the Go original changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pyjobs.api.params import Flag, Params, Text
from pyjobs.api.routes import Answer, Call, Route
from pyjobs.errors import Conflict, Invalid, NotAllowed, NotFound, PyjobsError
from pyjobs.permits import IpList

__all__ = ["ROUTES"]

_TAG = "IP 控制"
_EXPECTED = (Invalid, Conflict, NotFound, NotAllowed)


class IpStatus(BaseModel):
    """Both lists as they hold now, what the settings say first."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    enabled: bool
    """是否启用（始终为 true）"""
    whitelist: list[str]
    """白名单，配置中的条目在前"""
    blacklist: list[str]
    """黑名单，优先于白名单"""


class IpParams(Params):
    """An address or network, and whether to do it even so."""

    ip: Annotated[Text, Field(max_length=64, examples=["192.168.1.0/24"])]
    """IP 地址或网段（CIDR），IPv4 或 IPv6"""
    force: Flag = False
    """即使会使当前地址无法访问也执行"""


def _status(call: Call) -> Answer:
    access = call.service.access()
    found = {
        "enabled": True,
        "whitelist": [entry.network for entry in access.entries(IpList.ALLOW)],
        "blacklist": [entry.network for entry in access.entries(IpList.DENY)],
    }
    return Answer(msg="获取IP控制状态成功", data=found, beside=found)


def _add(which: IpList) -> Callable[[Call], Answer]:
    def handler(call: Call) -> Answer:
        try:
            call.service.access().add(
                which, call.params.ip, f"api {call.peer}", me=[call.peer], force=call.params.force
            )
        except _EXPECTED as exc:
            raise _failed(f"添加{which.zh}失败", exc) from exc
        return Answer(msg=f"IP已添加到{which.zh}")

    return handler


def _remove(which: IpList) -> Callable[[Call], Answer]:
    def handler(call: Call) -> Answer:
        try:
            call.service.access().remove(which, call.params.ip, me=[call.peer], force=call.params.force)
        except _EXPECTED as exc:
            raise _failed(f"移除{which.zh}失败", exc) from exc
        return Answer(msg=f"IP已从{which.zh}中移除")

    return handler


def _failed(what: str, exc: PyjobsError) -> PyjobsError:
    """What its clients look for stands first."""
    why, hint = exc.text("zh"), exc.hint("zh")
    if isinstance(exc, Invalid):
        why = why.removeprefix(f"{exc.field}：")
    return NotAllowed(f"{exc}", f"{what}：{why}" + (f"（{hint}）" if isinstance(exc, NotAllowed) and hint else ""))


def _changes(which: IpList, path: str) -> tuple[Route, Route]:
    return (
        Route(
            method="POST",
            path=f"/jobs/ip-control/{path}/add",
            summary=f"添加 IP 到{which.zh}",
            tag=_TAG,
            scope="admin",
            handler=_add(which),
            params=IpParams,
        ),
        Route(
            method="POST",
            path=f"/jobs/ip-control/{path}/remove",
            summary=f"从{which.zh}移除 IP",
            tag=_TAG,
            scope="admin",
            handler=_remove(which),
            params=IpParams,
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/jobs/ip-control/status",
        summary="IP 白名单与黑名单",
        tag=_TAG,
        scope="read",
        handler=_status,
        answer=IpStatus,
    ),
    *_changes(IpList.ALLOW, "whitelist"),
    *_changes(IpList.DENY, "blacklist"),
)
