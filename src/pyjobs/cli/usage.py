"""The parser's own errors in Chinese: it knows English only."""

from __future__ import annotations

import re

__all__ = ["in_chinese"]

_PATTERNS = (
    (r"No such command '(.*)'\. Did you mean (.*)\?", r"没有命令 `\1`，是否想写 \2？"),
    (r"No such command '(.*)'\.?", r"没有命令 `\1`"),
    (r"No such option: (\S+) \(Possible options: (.*)\)", r"没有选项 `\1`，是否想写：\2"),
    (r"No such option: (.*)", r"没有选项 `\1`"),
    (r"Missing argument '(.*?)'\.?(?: Choose from:\s*(.*))?", r"缺少参数 `\1`"),
    (r"Missing option '(.*?)'\.?", r"缺少选项 `\1`"),
    (r"Missing command\.?", r"缺少命令"),
    (r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", r"多余的参数：\1"),
    (r"Option '(.*)' requires an argument\.?", r"选项 `\1` 需要一个值"),
    (r"Option '(.*)' requires (\d+) arguments\.?", r"选项 `\1` 需要 \2 个值"),
    (r"Option '(.*)' does not take a value\.?", r"选项 `\1` 不接受值"),
)
_VALUE = r"Invalid value for (.*?): (.*)"
_REASONS = (
    (r"'(.*)' is not one of (.*?)\.?", r"`\1` 无效，可用：\2"),
    (r"(.*) is not in the range (.*?)\.?", r"`\1` 超出范围 \2"),
    (r"'(.*)' is not a valid int(?:eger| range)?\.?", r"`\1` 不是整数"),
    (r"'(.*)' is not a valid float(?: range)?\.?", r"`\1` 不是数"),
)


def in_chinese(message: str) -> str:
    """What the parser says, in Chinese; as it is where it is none of the usual sentences."""
    match = re.fullmatch(_VALUE, message, re.DOTALL)
    if match:
        where = match[1].replace("'", "`")
        return f"{where} 的值无效：{_first(_REASONS, match[2])}"
    return _first(_PATTERNS, message)


def _first(patterns: tuple[tuple[str, str], ...], text: str) -> str:
    for pattern, chinese in patterns:
        match = re.fullmatch(pattern, text, re.DOTALL)
        if match:
            return match.expand(chinese).replace("'", "`")
    return text
