"""
`alerting.yml`: rules in Prometheus' shape, and the channels that notices go through.

What is wrong in it is named with line and column; a rule or a channel that cannot be used leaves the others alone.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pyjobs.alerting.channels import AppriseChannel, Channel, Mail, Webhook, bad_template
from pyjobs.alerting.expression import BadExpression, parse
from pyjobs.alerting.tree import Node
from pyjobs.durations import parse_duration, shown
from pyjobs.errors import Invalid, RunFailed

__all__ = ["FILE_NAME", "Alerting", "BadAlerting", "Problem", "Rule", "annotated", "read", "unreachable"]

FILE_NAME = "alerting.yml"
_LARGEST = 1 << 20
_TOP = ("rules", "channels", "group", "remind")
_RULE = ("alert", "expr", "for", "labels", "annotations")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "email": ("type", "to"),
    "webhook": ("type", "url", "url_file", "method", "headers", "template"),
    "apprise": ("type", "url", "url_file"),
}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ADDRESS = re.compile(r"[^@\s,;]+@[^@\s,;]+")
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_VALUE = re.compile(r"\s*\$(value|labels\.([A-Za-z_][A-Za-z0-9_]*))\s*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class BadAlerting(Invalid):
    """`alerting.yml` cannot be read as a whole."""

    code = "bad_alerting"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place; lines and columns count from 1."""

    line: int
    column: int
    en: str
    zh: str
    #: The rule or channel that is left out for it.
    about: str = ""

    def text(self, lang: str) -> str:
        """With its place, as compilers write it."""
        return f"{FILE_NAME}:{self.line}:{self.column}: {self.zh if lang == 'zh' else self.en}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When something that the figures say is to be told."""

    name: str
    expr: str
    node: Node = field(compare=False)
    for_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """What the file says."""

    rules: tuple[Rule, ...] = ()
    channels: tuple[Channel, ...] = ()
    #: Within so long after a message a channel gets no other one: what comes up meanwhile is told together.
    group_ms: int = 30_000
    #: How often an incident that goes on is told again; 0: never.
    remind_ms: int = 4 * 3_600_000
    problems: tuple[Problem, ...] = ()


def read(path: Path) -> Alerting:
    """
    What the file says; nothing where there is none.

    Raises:
        BadAlerting: it cannot be read at all.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadAlerting(str(path), "is larger than 1 MiB", "大于 1 MiB")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Alerting()
    except (OSError, UnicodeDecodeError) as exc:
        why = (exc.strerror or str(exc)) if isinstance(exc, OSError) else "it is no UTF-8 text"
        raise BadAlerting(str(path), f"cannot be read: {why}", f"无法读取：{why}") from exc
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{mark.line + 1}:{mark.column + 1}: " if mark else ""
        why = getattr(exc, "problem", None) or " ".join(str(exc).split())
        raise BadAlerting(f"{FILE_NAME}", f"{where}is not YAML: {why}", f"{where}不是有效的 YAML：{why}") from exc
    except RecursionError as exc:
        raise BadAlerting(FILE_NAME, "is nested too deeply", "嵌套过深") from exc
    return _Reader(text, path.parent).whole(root)


def annotated(text: str, value: float, labels: Mapping[str, str]) -> str:
    """An annotation with `{{ $value }}` and `{{ $labels.name }}` filled in."""

    def fill(match: re.Match[str]) -> str:
        found = _VALUE.fullmatch(match[1])
        if found is None:
            return match[0]
        return labels.get(found[2], "") if found[2] else f"{value:g}"

    return _PLACE.sub(fill, text)


def unreachable(alerting: Alerting) -> list[Problem]:
    """Channels that only apprise can judge, and does not know; imports it, where there is such a channel."""
    found = []
    for channel in alerting.channels:
        if isinstance(channel, AppriseChannel):
            try:
                channel.check()
            except RunFailed as exc:
                found.append(Problem(channel.line, 1, exc.text("en"), exc.text("zh"), channel.name))
    return found


class _Wrong(Exception):
    """Something at a place makes a rule or a channel unusable."""

    def __init__(self, node: yaml.Node, en: str, zh: str, offset: int = 0) -> None:
        super().__init__(en)
        self.node, self.en, self.zh, self.offset = node, en, zh, offset


class _Reader:
    """Reads nodes, since they know where they stand."""

    def __init__(self, text: str, folder: Path) -> None:
        self._lines = text.splitlines()
        self._folder = folder
        self._problems: list[Problem] = []

    def whole(self, root: yaml.Node | None) -> Alerting:
        if root is None:
            return Alerting()
        rules: list[Rule] = []
        channels: list[Channel] = []
        times: dict[str, int] = {}
        with self._noted(""):
            said = self._top(root)
            for key in ("group", "remind"):
                with self._noted(""):
                    if key in said:
                        times[f"{key}_ms"] = _duration(said[key])
            with self._noted(""):
                for number, node in enumerate(_sequence(said["rules"]) if "rules" in said else (), start=1):
                    with self._noted(self._name_of(node, f"rule {number}")):
                        rules.append(self._rule(node, [rule.name for rule in rules]))
            with self._noted(""):
                for name, node in self._entries(said["channels"], "channels") if "channels" in said else ():
                    with self._noted(str(name.value)):
                        channels.append(self._channel(name, node))
        return Alerting(rules=tuple(rules), channels=tuple(channels), problems=tuple(self._problems), **times)

    # --- rules -------------------------------------------------------------------------------------------------

    def _rule(self, node: yaml.Node, taken: Sequence[str]) -> Rule:
        said = self._mapping(node, _RULE, "a rule", "规则")
        for key in ("alert", "expr"):
            if key not in said:
                raise _Wrong(node, f"a rule needs `{key}`", f"规则缺少 `{key}`")
        name = _text(said["alert"])
        if not name.strip():
            raise _Wrong(said["alert"], "`alert` is empty", "`alert` 为空")
        if name in taken:
            raise _Wrong(said["alert"], f"there is another rule `{name}`", f"规则 `{name}` 重复")
        expr = _text(said["expr"])
        try:
            parsed = parse(expr)
        except BadExpression as exc:
            en, zh = exc.text("en").partition(": ")[2], exc.text("zh").partition("：")[2]
            raise _Wrong(said["expr"], f"rule `{name}`: {en}", f"规则 `{name}`：{zh}", exc.offset) from None
        labels = self._texts(said.get("labels"), "labels")
        annotations = self._texts(said.get("annotations"), "annotations", filled_in=True)
        for_ms = _duration(said["for"]) if "for" in said else 0
        return Rule(name=name, expr=expr, node=parsed, for_ms=for_ms, labels=labels, annotations=annotations)

    def _texts(self, node: yaml.Node | None, what: str, *, filled_in: bool = False) -> dict[str, str]:
        found = {}
        for key, value in self._entries(node, what) if node is not None else ():
            text = _text(value)
            for match in _PLACE.finditer(text) if filled_in else ():
                if not _VALUE.fullmatch(match[1]):
                    raise _Wrong(
                        value, f"`{shown(match[0])}` is neither `{{{{ $value }}}}` nor `{{{{ $labels.NAME }}}}`",
                        f"`{shown(match[0])}` 只能是 `{{{{ $value }}}}` 或 `{{{{ $labels.名称 }}}}`", match.start(),
                    )  # fmt: skip
            found[str(key.value)] = text
        return found

    # --- channels ----------------------------------------------------------------------------------------------

    def _channel(self, key: yaml.Node, node: yaml.Node) -> Channel:
        name = str(key.value)
        if not _NAME.fullmatch(name):
            raise _Wrong(key, f"`{shown(name)}` is no name for a channel: letters, digits, `.`, `_` and `-`",
                         f"`{shown(name)}` 不能作为渠道名称：只能用字母、数字、`.`、`_`、`-`")  # fmt: skip
        known = sorted({word for words in _KINDS.values() for word in words})
        said = self._mapping(node, known, f"channel `{name}`", f"渠道 `{name}`")
        if "type" not in said:
            raise _Wrong(node, f"channel `{name}` needs `type`: {', '.join(_KINDS)}",
                         f"渠道 `{name}` 缺少 `type`：{'、'.join(_KINDS)}")  # fmt: skip
        kind = _text(said["type"])
        if kind not in _KINDS:
            raise _unknown(said["type"], kind, list(_KINDS), "kind of channel", "渠道类型")
        for word, value in said.items():
            if word not in _KINDS[kind]:
                raise _Wrong(value, f"`{word}` is nothing that a channel of type {kind} has",
                             f"{kind} 类型的渠道没有 `{word}`")  # fmt: skip
        if kind == "email":
            return Mail(name, self._recipients(node, said))
        url = self._url(name, node, said)
        return (
            AppriseChannel(name, url, node.start_mark.line + 1) if kind == "apprise" else self._webhook(name, url, said)
        )

    def _recipients(self, node: yaml.Node, said: Mapping[str, yaml.Node]) -> tuple[str, ...]:
        if "to" not in said:
            raise _Wrong(node, "a channel of type email needs `to`", "email 类型的渠道缺少 `to`")
        to = said["to"]
        parts = to.value if isinstance(to, yaml.SequenceNode) else [to]
        found = [address for part in parts for address in re.split(r"[;,\s]+", _text(part)) if address]
        for address in found or [""]:
            if not _ADDRESS.fullmatch(address):
                raise _Wrong(to, f"`{shown(address)}` is no mail address", f"`{shown(address)}` 不是邮件地址")
        return tuple(found)

    def _url(self, name: str, node: yaml.Node, said: Mapping[str, yaml.Node]) -> str:
        if ("url" in said) == ("url_file" in said):
            raise _Wrong(node, f"channel `{name}` needs one of `url` and `url_file`",
                         f"渠道 `{name}` 需要 `url` 和 `url_file` 之一")  # fmt: skip
        if "url" in said:
            url, place = _text(said["url"]).strip(), said["url"]
        else:
            place = said["url_file"]
            try:
                url = (self._folder / _text(place)).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
                raise _Wrong(place, f"`url_file` cannot be read: {why}", f"无法读取 `url_file`：{why}") from exc
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/]", url):
            raise _Wrong(place, "this is no address with `://`", "不是带 `://` 的地址")
        return url

    def _webhook(self, name: str, url: str, said: Mapping[str, yaml.Node]) -> Webhook:
        if not url.lower().startswith(("http://", "https://")):
            raise _Wrong(said.get("url") or said["url_file"], "a webhook's address begins with http:// or https://",
                         "webhook 的地址应以 http:// 或 https:// 开头")  # fmt: skip
        headers = self._texts(said.get("headers"), "headers")
        for header, value in headers.items():
            if not _HEADER.fullmatch(header) or not value.isprintable():
                raise _Wrong(said["headers"], f"header `{shown(header)}` cannot be sent",
                             f"请求头 `{shown(header)}` 无法发送")  # fmt: skip
        method = _text(said["method"]).upper() if "method" in said else "POST"
        if method not in ("POST", "PUT", "PATCH"):
            raise _unknown(said["method"], method, ["POST", "PUT", "PATCH"], "method for a webhook", "webhook 请求方法")
        template = _text(said["template"]) if "template" in said else ""
        hook = Webhook(name, url, method, tuple(headers.items()), template)
        if template:
            offset, en, zh = bad_template(template, as_json=hook.takes_json)
            if en:
                raise _Wrong(said["template"], f"channel `{name}`: {en}", f"渠道 `{name}`：{zh}", offset)
        return hook

    # --- nodes -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _noted(self, about: str) -> Iterator[None]:
        """What is wrong inside becomes a problem, and costs what is read inside only."""
        try:
            yield
        except _Wrong as exc:
            line, column = self._place(exc.node, exc.offset)
            self._problems.append(Problem(line, column, exc.en, exc.zh, about))

    def _place(self, node: yaml.Node, offset: int) -> tuple[int, int]:
        """Line and column of a character of a scalar; of anything else where it begins."""
        start = node.start_mark
        if not isinstance(node, yaml.ScalarNode):
            return start.line + 1, start.column + 1
        if node.style == "|":
            before = node.value[:offset]
            line = start.line + 1 + before.count("\n")
            column = before.rpartition("\n")[2]
            # The block's indentation is what the source has more than the value.
            text, own = self._line(line), node.value.split("\n")[before.count("\n")]
            return line + 1, max(0, len(text) - len(own)) + len(column) + 1
        if node.style == ">":
            text = self._line(start.line + 1)
            return start.line + 2, len(text) - len(text.lstrip()) + 1
        if start.line != node.end_mark.line:
            return start.line + 1, start.column + 1
        return start.line + 1, start.column + 1 + (1 if node.style else 0) + offset

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""

    def _mapping(self, node: yaml.Node, known: Sequence[str], what: str, what_zh: str) -> dict[str, yaml.Node]:
        """Key -> value node; an unknown key is refused, with the nearest one."""
        found: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            raise _Wrong(node, f"{what} is no mapping of keys and values", f"{what_zh}不是键值映射")
        for key, value in node.value:
            word = str(key.value)
            if word not in known:
                raise _unknown(key, word, known, f"key in {what}", f"{what_zh}键")
            if word in found:
                raise _Wrong(key, f"`{word}` is there twice", f"`{word}` 重复")
            found[word] = value
        return found

    def _top(self, root: yaml.Node) -> dict[str, yaml.Node]:
        """As `_mapping`, but an unknown key leaves the others alone."""
        if not isinstance(root, yaml.MappingNode):
            raise _Wrong(root, "the file is no mapping of keys and values", "该文件不是键值映射")
        found: dict[str, yaml.Node] = {}
        for pair in root.value:
            with self._noted(""):
                one = yaml.MappingNode(root.tag, [pair], root.start_mark, root.end_mark)
                found |= self._mapping(one, _TOP, "the file", "顶层")
        return found

    def _entries(self, node: yaml.Node, what: str) -> list[tuple[yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return []
        if not isinstance(node, yaml.MappingNode):
            raise _Wrong(node, f"`{what}` is no mapping of names and values", f"`{what}` 不是名称与值的映射")
        return list(node.value)

    @staticmethod
    def _name_of(node: yaml.Node, otherwise: str) -> str:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == "alert" and isinstance(value, yaml.ScalarNode):
                return str(value.value)
        return otherwise


def _sequence(node: yaml.Node) -> list[Any]:
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _Wrong(node, "`rules` is no list", "`rules` 不是列表")
    return list(node.value)


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Wrong(node, "a text is expected here", "此处应为文本")
    return str(node.value)


def _duration(node: yaml.Node) -> int:
    text = _text(node)
    try:
        return 0 if text.strip() == "0" else parse_duration(text)
    except Invalid as exc:
        raise _Wrong(node, exc.text("en").partition(": ")[2], exc.text("zh").partition("：")[2]) from None


def _unknown(node: yaml.Node, name: str, known: Sequence[str], what: str, what_zh: str) -> _Wrong:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant, meant_zh = (f"; did you mean `{near[0]}`?", f"，是否想写 `{near[0]}`？") if near else (
        f": one of {', '.join(known)}", f"，可用：{'、'.join(known)}")  # fmt: skip
    return _Wrong(node, f"`{shown(name)}` is no {what}{meant}", f"没有{what_zh} `{shown(name)}`{meant_zh}")
