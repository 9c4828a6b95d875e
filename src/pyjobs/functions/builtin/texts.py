"""The six functions of the Go original that work there, with its texts."""

from __future__ import annotations

import math as numbers
import re

from pyjobs.errors import RunFailed
from pyjobs.functions.builtin.context import Context
from pyjobs.functions.builtin.golayout import format_time

__all__ = ["dayin", "echo", "hello", "math", "test", "time"]

_GO_LAYOUT = "2006-01-02 15:04:05"


def dayin(_: Context, *args: str) -> str:
    """Show the arguments, as an example."""
    said = f"Dayin函数执行成功，参数: [{' '.join(args)}]"
    if args[:1] == ("1",):
        said += " - 参数1处理"
    if len(args) > 1:
        said += f" - 字符串参数: {args[1]}"
    if args[2:3] == ("true",):
        said += " - 布尔参数为真"
    return said


def test(_: Context, *args: str) -> str:
    """Show the arguments."""
    return f"Test函数执行成功，参数: [{' '.join(args)}]"


def hello(_: Context, name: str = "World", *_more: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


def time(context: Context, layout: str = _GO_LAYOUT, *_more: str) -> str:
    """Tell the time, in a layout of Go's such as `2006-01-02 15:04:05`."""
    return f"当前时间: {format_time(context.now(), layout)}"


def echo(_: Context, *args: str) -> str:
    """Repeat the arguments."""
    return " ".join(args)


def math(_: Context, *args: str) -> str:
    """Calculate: operator (+ - * /), number, number."""
    if len(args) < 3:
        raise RunFailed("Math函数需要至少3个参数: 操作符 数字1 数字2")
    first, second = _number(args[1]), _number(args[2])
    if args[0] == "+":
        result = first + second
    elif args[0] == "-":
        result = first - second
    elif args[0] == "*":
        result = first * second
    elif args[0] != "/":
        raise RunFailed(f"不支持的操作符: {args[0]}")
    elif second == 0:
        raise RunFailed("除数不能为零")
    else:
        result = first / second
    return _in_go_words(result)


def _number(text: str) -> float:
    named = re.fullmatch(r"[+-]?(inf|infinity|nan)", text, re.IGNORECASE)
    if named or re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", text, re.IGNORECASE | re.ASCII):
        number = float(text)
        if named or not numbers.isinf(number):
            return number
    raise RunFailed("参数必须是数字")


def _in_go_words(number: float) -> str:
    if numbers.isnan(number):
        return "NaN"
    if numbers.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return f"{number:.2f}"
