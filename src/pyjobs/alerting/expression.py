"""
The expressions of alert rules, a small part of PromQL: read with positions, judged over figures that are passed in.

    failed_jobs > 5
    increase(jobs_exec_fail_total{job_name=~"backup.*"}[30m]) >= 3 and queue_size < 10
    failed_jobs / (failed_jobs + successful_jobs) > 0.5

Comparisons keep what they are true for; `and` keeps what is on both sides, `or` what is on one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from pyjobs.alerting.tree import COMPARE, OVER_ALL, RECKON, Node, Number, OverAll, OverTime, Selector, Two
from pyjobs.durations import parse_duration
from pyjobs.errors import Invalid

__all__ = ["METRICS", "BadExpression", "parse"]

#: Name -> whether it only ever grows. Those of `/metrics`, but for the buckets.
METRICS = {
    "active_jobs": False,
    "failed_jobs": False,
    "job_execution_duration_count": True,
    "job_execution_duration_sum": True,
    "job_execution_total": True,
    "jobs_exec_duration_seconds_count": True,
    "jobs_exec_duration_seconds_sum": True,
    "jobs_exec_fail_total": True,
    "jobs_exec_total": True,
    "jobs_running": False,
    "queue_size": False,
    "successful_jobs": False,
}
_LABELS = ("job_id", "job_name", "mode")
_OVER_TIME = ("increase", "rate")
_LONGEST = 2000
_DEEPEST = 50
#: Each may be a level of the tree.
_MOST_TOKENS = 300
_LONGEST_RANGE_MS = 24 * 3_600_000
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
    |(?P<range>\[[^\]\n]*\])
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%()<>{},=])""",
    re.VERBOSE,
)


class BadExpression(Invalid):
    """An expression that cannot be understood; `offset` says where in its text."""

    code = "bad_expression"

    def __init__(self, offset: int, en: str, zh: str, *, hint: str = "", hint_zh: str = "") -> None:
        """Take what is wrong, and where."""
        super().__init__("expr", en, zh, hint=hint, hint_zh=hint_zh)
        self.offset = offset


def parse(text: str) -> Node:
    """Read the expression of a rule. Raises BadExpression."""
    if len(text) > _LONGEST:
        raise BadExpression(0, f"it is longer than {_LONGEST} characters", f"表达式超过 {_LONGEST} 个字符")
    reader = _Reader(text)
    node = reader.either(0)
    if reader.kind != "end":
        raise reader.unexpected()
    if not (isinstance(node, Two) and node.sign not in RECKON):
        raise BadExpression(
            0, "it compares nothing, so it would always hold", "缺少比较，条件将始终成立",
            hint="write for example `failed_jobs > 5`", hint_zh="例如 `failed_jobs > 5`",
        )  # fmt: skip
    return node


class _Reader:
    """Reads tokens one after the other; each method reads what binds tighter than the one before."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._index = 0
        if len(self._tokens) > _MOST_TOKENS:
            raise BadExpression(self._tokens[_MOST_TOKENS][2], "it has too many parts", "表达式过于复杂")

    @property
    def kind(self) -> str:
        return self._tokens[self._index][0]

    @property
    def text(self) -> str:
        return self._tokens[self._index][1]

    @property
    def offset(self) -> int:
        return self._tokens[self._index][2]

    def unexpected(self, wanted: str = "", wanted_zh: str = "") -> BadExpression:
        """What to raise about the present token."""
        found = f"`{self.text}`" if self.kind != "end" else "the end"
        found_zh = f"`{self.text}`" if self.kind != "end" else "结尾"
        en = f"{found} where {wanted} should be" if wanted else f"{found} is not expected here"
        zh = f"此处应为{wanted_zh}，而不是 {found_zh}" if wanted else f"此处不应出现 {found_zh}"
        return BadExpression(self.offset, en, zh)

    def either(self, depth: int) -> Node:
        """`a or b`."""
        return self._chain(("or",), self._both, depth)

    def _both(self, depth: int) -> Node:
        return self._chain(("and",), self._comparison, depth)

    def _comparison(self, depth: int) -> Node:
        left = self._sum(depth)
        if self.kind == "sign" and self.text in COMPARE:
            sign = self._take()
            right = self._sum(depth)
            if self.kind == "sign" and self.text in COMPARE:
                raise self.unexpected()
            return Two(sign, left, right)
        return left

    def _sum(self, depth: int) -> Node:
        return self._chain(("+", "-"), self._product, depth)

    def _product(self, depth: int) -> Node:
        return self._chain(("*", "/", "%"), self._signed, depth)

    def _signed(self, depth: int) -> Node:
        if self.kind == "sign" and self.text == "-":
            if depth >= _DEEPEST:
                raise BadExpression(self.offset, "it is nested too deeply", "嵌套过深")
            self._take()
            return Two("-", Number(0.0), self._signed(depth + 1))
        return self._single(depth)

    def _chain(self, signs: tuple[str, ...], inner: Callable[[int], Node], depth: int) -> Node:
        node = inner(depth)
        while self.kind in ("sign", "name") and self.text in signs:
            sign = self._take()
            node = Two(sign, node, inner(depth))
        return node

    def _single(self, depth: int) -> Node:
        if depth >= _DEEPEST:
            raise BadExpression(self.offset, "it is nested too deeply", "嵌套过深")
        if self.kind == "number":
            return Number(float(self._take()))
        if self.kind == "sign" and self.text == "(":
            self._take()
            node = self.either(depth + 1)
            self._expect(")")
            return node
        if self.kind != "name" or self.text in ("and", "or"):
            raise self.unexpected("a metric or a number", "指标或数字")
        if self.text in _OVER_TIME or (self.text in OVER_ALL and self._tokens[self._index + 1][1] == "("):
            return self._function(depth)
        return self._selector(ranged="")

    def _function(self, depth: int) -> Node:
        name = self._take()
        self._expect("(")
        node: Node
        if name in _OVER_TIME:
            if self.kind != "name":
                raise self.unexpected("a metric", "指标")
            node = OverTime(name, self._selector(ranged=name))
        else:
            node = OverAll(name, self.either(depth + 1))
        self._expect(")")
        return node

    def _selector(self, *, ranged: str) -> Selector:
        offset = self.offset
        name = self._take()
        if name not in METRICS:
            if self.kind == "sign" and self.text == "(":
                raise _unknown(offset, name, (*_OVER_TIME, *OVER_ALL), "function", "函数")
            raise _unknown(offset, name, tuple(METRICS), "metric", "指标")
        labels = self._labels() if self.kind == "sign" and self.text == "{" else ()
        if not ranged:
            if self.kind == "range":
                raise BadExpression(self.offset, f"`{self.text}` belongs into rate() or increase()",
                                    f"`{self.text}` 只能用于 rate() 或 increase()")  # fmt: skip
            return Selector(name, labels)
        if self.kind != "range":
            raise self.unexpected("a range such as `[5m]`", "时间范围，如 `[5m]`")
        if not METRICS[name]:
            raise BadExpression(offset, f"{ranged}() is for what only grows, `{name}` goes up and down",
                                f"{ranged}() 只用于累计值，`{name}` 会升降",
                                hint=f"compare `{name}` itself", hint_zh=f"请直接比较 `{name}`")  # fmt: skip
        return Selector(name, labels, self._range())

    def _range(self) -> int:
        offset, text = self.offset, self._take()
        try:
            ms = parse_duration(text[1:-1])
        except Invalid as exc:
            raise BadExpression(offset + 1, str(exc).partition(": ")[2], exc.text("zh").partition("：")[2],
                                hint=exc.hint("en"), hint_zh=exc.hint("zh")) from None  # fmt: skip
        if not 1000 <= ms <= _LONGEST_RANGE_MS:
            raise BadExpression(offset, f"`{text}` is not from 1s to 24h", f"`{text}` 不在 1s 到 24h 之间")
        return ms

    def _labels(self) -> tuple[tuple[str, str, str], ...]:
        self._take()
        found = []
        while not (self.kind == "sign" and self.text == "}"):
            if self.kind != "name":
                raise self.unexpected("a label", "标签")
            offset, name = self.offset, self._take()
            if name not in _LABELS:
                raise _unknown(offset, name, _LABELS, "label", "标签")
            if self.kind != "sign" or self.text not in ("=", "!=", "=~", "!~"):
                raise self.unexpected("=, !=, =~ or !~", " =、!=、=~ 或 !~")
            sign = self._take()
            if self.kind != "text":
                raise self.unexpected("a text in quotes", "带引号的文本")
            found.append((name, sign, self._label_value(sign)))
            if self.kind == "sign" and self.text == ",":
                self._take()
            elif not (self.kind == "sign" and self.text == "}"):
                raise self.unexpected("`,` or `}`", " `,` 或 `}`")
        self._take()
        return tuple(found)

    def _label_value(self, sign: str) -> str:
        offset = self.offset
        value = re.sub(r"\\(.)", r"\1" if "~" not in sign else r"\\\1", self._take()[1:-1])
        if "~" in sign:
            try:
                re.compile(value)
            except (re.error, RecursionError, OverflowError) as exc:
                raise BadExpression(
                    offset, f"`{value}` is no regular expression: {exc}", f"`{value}` 不是有效的正则表达式：{exc}"
                ) from None
        return value

    def _take(self) -> str:
        self._index += 1
        return self._tokens[self._index - 1][1]

    def _expect(self, sign: str) -> None:
        if self.kind != "sign" or self.text != sign:
            raise self.unexpected(f"`{sign}`", f" `{sign}`")
        self._take()


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, text, offset) of each token, an `end` after the last one. Raises BadExpression."""
    found, offset = [], 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            char = text[offset]
            raise BadExpression(offset, f"`{char if char.isprintable() else ascii(char)}` is nothing that can be read",
                                f"无法识别 `{char if char.isprintable() else ascii(char)}`")  # fmt: skip
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match[0], offset))
        offset = match.end()
    return [*found, ("end", "", len(text))]


def _unknown(offset: int, name: str, known: tuple[str, ...], what: str, what_zh: str) -> BadExpression:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant, meant_zh = (f"; did you mean `{near[0]}`?", f"，是否想写 `{near[0]}`？") if near else ("", "")
    return BadExpression(
        offset, f"there is no {what} `{name}`{meant}", f"没有{what_zh} `{name}`{meant_zh}",
        hint=f"known: {', '.join(known)}", hint_zh=f"可用：{'、'.join(known)}",
    )  # fmt: skip
