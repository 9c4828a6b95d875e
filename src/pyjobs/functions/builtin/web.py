"""The functions that call something by HTTP: Webhook and SMS. They reach and trust what HTTP jobs do."""

from __future__ import annotations

import json
import os

from pyjobs.commandtext import HttpSpec
from pyjobs.errors import RunFailed
from pyjobs.functions.builtin.context import Context
from pyjobs.httpclient.wire import DenyList, Trust, Wire

__all__ = ["sms", "webhook"]

#: Seconds for each step: to connect, and between two pieces of the answer.
_STEP_S = 30.0
_SHOWN_CHARS = 200


def webhook(context: Context, url: str, body: str = "", method: str = "POST") -> str:
    """Call a URL: address, body (JSON or text), method. Anything but 2xx is a failure."""
    if not url.lower().startswith(("http://", "https://")):
        raise RunFailed(
            f"`{url}` is not an http:// or https:// address", f"`{url}` 不是有效的 http:// 或 https:// 地址"
        )
    spec = HttpSpec(url=url, mode=method.upper(), data=body, headers=_headers(body))
    status, answer = _send(context, "webhook", spec, DenyList.of(context.settings))
    if not 200 <= status < 300:
        shown = answer[:_SHOWN_CHARS]
        raise RunFailed(f"the webhook answered {status}: {shown}", f"Webhook 返回 {status}：{shown}")
    return f"{status}\n{answer}" if answer else str(status)


def sms(context: Context, phone: str, text: str) -> str:
    """Send a text message through the gateway in SMS_WEBHOOK: number, text."""
    gateway = context.settings.sms_webhook
    if not gateway:
        raise RunFailed(
            "no SMS gateway is set",
            "未配置短信网关",
            hint='set `sms_webhook` to the address that takes a POST of `{"phone", "text"}`',
            hint_zh='请将 `sms_webhook` 设为接收 POST `{"phone", "text"}` 的地址',
        )
    spec = HttpSpec(url=gateway, mode="POST", data=json.dumps({"phone": phone, "text": text}, ensure_ascii=False))
    # Who sets the gateway decides where it is, so nothing is denied.
    status, _ = _send(context, "SMS gateway", spec, DenyList((), None))
    if not 200 <= status < 300:
        raise RunFailed(f"the SMS gateway answered {status}", f"短信网关返回 {status}")
    return context.say(f"message to {phone}", f"发送短信到: {phone}")


def _send(context: Context, whom: str, spec: HttpSpec, deny: DenyList) -> tuple[int, str]:
    """Status and body. What went wrong is told without the address, which may hold a secret."""
    from pyjobs.httpclient.errors import explain
    from pyjobs.httpclient.session import Session

    wire = Wire(deny, lambda: _STEP_S)
    try:
        with Session(wire, Trust(os.environ)) as session, session.perform(spec, lambda _: None) as response:
            content = b""
            for piece in response.iter_content(8192):
                content += piece
                if len(content) >= context.settings.http_response_max_bytes:
                    break
            most = context.settings.http_response_max_bytes
            return response.status_code, content[:most].decode(response.encoding or "utf-8", "replace")
    except Exception as exc:  # as for HTTP jobs: `explain` knows all that can happen
        why = explain(exc, began=False)
        raise RunFailed(f"the {whom} cannot be reached: {why}", f"无法访问 {whom}：{why}") from None
    finally:
        wire.release()


def _headers(body: str) -> tuple[tuple[str, str], ...]:
    """Text says that it is; JSON is seen to be by what sends it."""
    try:
        json.loads(body or "0")
    except (ValueError, RecursionError):
        return (("Content-Type", "text/plain; charset=utf-8"),)
    return ()
