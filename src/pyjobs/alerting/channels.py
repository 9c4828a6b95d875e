"""How notices get to people: mail, webhook, and what apprise knows (DingTalk, WeCom, Feishu, Telegram …)."""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from pyjobs.config import Settings
from pyjobs.errors import PyjobsError, RunFailed

__all__ = ["FIELDS", "AppriseChannel", "Channel", "Mail", "Message", "Webhook", "bad_template", "filled"]

#: What a template may name, with values of the kind that they have.
FIELDS: Mapping[str, Any] = {
    "event": "opened",
    "title": "backup failed 3 times in a row",
    "text": "exit status 1",
    "alert": "failures",
    "severity": "warning",
    "job": "backup",
    "job_id": "1",
    "incident": 1,
    "count": 3,
    "since": "2030-01-01 00:00:00",
    "host": "server",
    "home": "/srv/pyjobs",
}
_MASK = "******"
#: Shorter parts of an address are words such as `v1`.
_SHORTEST_SECRET = 6
_SHORTEST_HIDDEN = 3
_STEP_S = 20.0
_SHOWN_CHARS = 200
_JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Message:
    """What one call of a channel says."""

    title: str
    text: str
    #: By the names of FIELDS.
    fields: Mapping[str, Any]


class Channel(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """What `alerting.yml` calls it."""

    @property
    def kind(self) -> str:
        """`email`, `webhook` or `apprise`."""

    @property
    def target(self) -> str:
        """Where it leads to, without secrets."""

    def send(self, message: Message, settings: Settings) -> None:
        """Send it; may take long. Raises RunFailed: why not, without secrets."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Mails by the server in the settings."""

    name: str
    to: tuple[str, ...]
    kind: str = "email"

    @property
    def target(self) -> str:
        """Who gets them."""
        return ", ".join(self.to)

    def send(self, message: Message, settings: Settings) -> None:
        """Send one mail to all."""
        from pyjobs.mailing import send_mail

        try:
            # A line break would begin another header.
            send_mail(settings, self.to, " ".join(message.title.split()), message.text)
        except RunFailed as exc:
            raise _hidden(exc, [settings.smtp_password]) from None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request to an address, with JSON or what a template makes."""

    name: str
    url: str
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    template: str = ""
    kind: str = "webhook"

    @property
    def target(self) -> str:
        """Its host: the rest of the address is often the secret."""
        return _host_of(self.url)

    @property
    def takes_json(self) -> bool:
        """Whether what it sends is JSON."""
        said = [value for name, value in self.headers if name.lower() == "content-type"]
        return "json" in said[0].lower() if said else True

    def send(self, message: Message, settings: Settings) -> None:  # noqa: ARG002 - the protocol's parameter
        """Make the request; anything but 2xx is a failure."""
        from pyjobs.commandtext import HttpSpec
        from pyjobs.httpclient.errors import explain
        from pyjobs.httpclient.session import Session
        from pyjobs.httpclient.wire import DenyList, Trust, Wire

        body = filled(self.template, message.fields, as_json=self.takes_json) if self.template else _json(message)
        headers = self.headers
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers = (*headers, ("Content-Type", f"{_JSON_TYPE}; charset=utf-8"))
        spec = HttpSpec(url=self.url, mode=self.method, data=body, headers=headers)
        # Who sets the address decides where it is, so nothing is denied.
        wire = Wire(DenyList((), None), lambda: _STEP_S)
        try:
            with Session(wire, Trust(os.environ)) as session, session.perform(spec, lambda _: None) as response:
                status = response.status_code
                answer = next(response.iter_content(_SHOWN_CHARS), b"").decode("utf-8", "replace")
        except Exception as exc:  # as for HTTP jobs: `explain` knows all that can happen
            why = explain(exc, began=False)
            failed = RunFailed(f"{self.target} cannot be reached: {why}", f"无法访问 {self.target}：{why}")
            raise _hidden(failed, self._secrets()) from None
        finally:
            wire.release()
        if not 200 <= status < 300:
            failed = RunFailed(f"{self.target} answered {status}: {answer}", f"{self.target} 返回 {status}：{answer}")
            raise _hidden(failed, self._secrets())

    def _secrets(self) -> list[str]:
        """What may be secret: login, path and query of the address, and values of headers; not its host."""
        parts = urlsplit(self.url)
        rest = parts.path.removeprefix("/") + (f"?{parts.query}" if parts.query else "")
        login = [parts.username or "", parts.password or ""]
        return [*_secret_parts(f"x://{rest}"), *login, *(value for _, value in self.headers)]


@dataclass(frozen=True, slots=True)
class AppriseChannel:
    """Whatever apprise can reach, by its own kind of address: `dingtalk://…`, `wecombot://…`, `tgram://…`."""

    name: str
    url: str
    #: Of the file, for whoever has to mend it.
    line: int = 1
    kind: str = "apprise"

    @property
    def target(self) -> str:
        """The service: the rest of the address is its secret."""
        return f"{self.url.partition(':')[0]}://{_MASK}"

    def check(self) -> None:
        """Raise RunFailed when apprise is not there or does not know the address."""
        self._client()

    def send(self, message: Message, settings: Settings) -> None:  # noqa: ARG002 - the protocol's parameter
        """Have apprise send it."""
        done = self._client().notify(body=message.text or message.title, title=message.title, timeout=_STEP_S)
        if not done:
            why = "; ".join(_apprise_said(done)) or "it did not say why"
            failed = RunFailed(f"{self.target} was not reached: {why}", f"{self.target} 发送失败：{why}")
            raise _hidden(failed, _secret_parts(self.url))

    def _client(self) -> Any:
        try:
            import apprise
        except ImportError:
            raise RunFailed(
                f"channel `{self.name}` needs apprise, which is not installed",
                f"渠道 `{self.name}` 需要 apprise，但未安装",
                hint="install it with `pip install 'pyjobs[alerts]'`",
                hint_zh="请执行 `pip install 'pyjobs[alerts]'`",
            ) from None
        import logging

        # It writes whole addresses, secrets and all, to its log; what it says of a failure is in its result.
        logger = logging.getLogger("apprise")
        logger.handlers[:], logger.propagate = [logging.NullHandler()], False
        client = apprise.Apprise()
        if not client.add(self.url):
            raise RunFailed(
                f"apprise does not understand `{self.target}`", f"apprise 无法识别 `{self.target}`",
                hint="see apprise's list of services for how its addresses are written",
                hint_zh="地址写法参见 apprise 的服务列表",
            )  # fmt: skip
        return client


def bad_template(template: str, *, as_json: bool) -> tuple[int, str, str]:
    """What is wrong with a template: (offset, English, Chinese); no texts when nothing is."""
    import difflib

    for match in string.Template.pattern.finditer(template):
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            return (match.start(), "`$` begins no name here; a dollar sign is written `$$`",
                    "此处的 `$` 后没有名称，美元符号请写成 `$$`")  # fmt: skip
        if name and name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
            known = ", ".join(FIELDS)
            meant, meant_zh = (f"; did you mean `${near[0]}`?", f"，是否想写 `${near[0]}`？") if near else (
                f": one of {known}", f"，可用：{known}")  # fmt: skip
            return match.start(), f"there is nothing named `${name}`{meant}", f"没有 `${name}`{meant_zh}"
    if as_json:
        try:
            json.loads(filled(template, FIELDS, as_json=True))
        except (ValueError, RecursionError) as exc:
            return 0, f"it makes no JSON: {exc}", f"生成的不是有效的 JSON：{exc}"
    return 0, "", ""


def filled(template: str, fields: Mapping[str, Any], *, as_json: bool) -> str:
    """A template with its values, each written so that it fits inside a JSON text where that is wanted."""
    texts = {name: str(fields.get(name, "")) for name in FIELDS}
    if as_json:
        texts = {name: json.dumps(text, ensure_ascii=False)[1:-1] for name, text in texts.items()}
    return string.Template(template).safe_substitute(texts)


def _json(message: Message) -> str:
    return json.dumps({**message.fields, "title": message.title, "text": message.text}, ensure_ascii=False)


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/{_MASK if len(parts.path) > 1 or parts.query else ''}"


def _secret_parts(url: str) -> list[str]:
    """Parts of an address that may be secret, as they may come back in a message."""
    rest = url.partition("://")[2]
    pieces = [piece for piece in re.split(r"[/?&=:@]", rest) if len(piece) >= _SHORTEST_SECRET]
    return [rest if len(rest) >= _SHORTEST_SECRET else "", *pieces, *(quote(piece, safe="") for piece in pieces)]


def _hidden(exc: PyjobsError, secrets: list[str]) -> RunFailed:
    """The same error without any of these texts."""

    def hide(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            # What is shorter would be found inside of words.
            text = text.replace(secret, _MASK) if len(secret) >= _SHORTEST_HIDDEN else text
        return text

    return RunFailed(hide(exc.text("en")), hide(exc.text("zh")), hint=exc.hint("en"), hint_zh=exc.hint("zh"))


def _apprise_said(result: Any) -> list[str]:
    """What apprise notes about a failure, each once."""
    try:
        entries = [str(getattr(entry, "message", entry)) for entry in result.logs()]
    except (AttributeError, TypeError):  # an older one answers a plain False
        return []
    return list(dict.fromkeys(" ".join(entry.split())[:_SHOWN_CHARS] for entry in entries))[:3]
