"""
Argument texts -> the values that a function's type hints ask for, by pydantic.

Imported by function workers only: pydantic is too heavy for every other process.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union

import pydantic

from pyjobs.errors import Invalid
from pyjobs.functions.arguments import split

__all__ = ["Shape", "bind", "convert", "shape_of"]

_EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SEQUENCES = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_UNIONS = (Union, types.UnionType)
#: A number alone is no date, but for `YYYYMMDD` and seconds or milliseconds since the epoch.
_NO_DATE = re.compile(r"[0-9]{1,7}|[0-9]{9}")


class _Unresolved:
    """A type hint that names something which is not there at run time; its values stay texts."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def __repr__(self) -> str:
        return self._hint


_AS_TYPED = (str, Any, object, _EMPTY)


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What a function takes: its signature as text, and its parameters with their hints resolved."""

    text: str
    parameters: tuple[inspect.Parameter, ...]


def shape_of(function: Callable[..., Any]) -> Shape:
    """The shape of a function; one without a readable signature takes any texts."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return Shape("(*args)", (inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),))
    hints = _Hints(inspect.unwrap(function.func if isinstance(function, functools.partial) else function))
    parameters = tuple(p.replace(annotation=hints.get(p.annotation)) for p in signature.parameters.values())
    known = signature.replace(parameters=parameters, return_annotation=hints.get(signature.return_annotation))
    # Where 3.13 alone keeps its paths is nobody's business.
    return Shape(str(known).replace("pathlib._local.", "pathlib."), parameters)


class _Hints:
    """Resolves annotations one by one, so that one which cannot be does not spoil the others."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._globals = getattr(function, "__globals__", {})

    def get(self, annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation

        def holder() -> None: ...

        holder.__annotations__ = {"hint": annotation}
        try:
            return typing.get_type_hints(holder, globalns=self._globals, include_extras=True)["hint"]
        except Exception:  # an annotation is the user's code
            return _Unresolved(annotation)


def bind(name: str, shape: Shape, text: str) -> tuple[list[Any], dict[str, Any]]:
    """
    Positional and keyword arguments of a call.

    Args:
        name: of the function, for messages.
        shape: of the function.
        text: the job's argument text.

    Raises:
        Invalid: a wrong count, name or value; the message has the signature.
    """
    try:
        texts, by_name = _sort(shape, text)
        values, filled = _place(shape, texts, by_name)
        _check_missing(shape, filled, by_name)
        return values, {key: _converted(shape, key, value) for key, value in by_name.items()}
    except _Wrong as exc:
        en, zh = exc.args
        raise Invalid("arg", f"{en}; it is `{name}{shape.text}`", f"{zh}；函数为 `{name}{shape.text}`") from exc


class _Wrong(Exception):
    """Why arguments do not fit, in English and Chinese."""


def _sort(shape: Shape, text: str) -> tuple[list[str], dict[str, str]]:
    names = {p.name for p in shape.parameters if p.kind in _BY_NAME}
    any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in shape.parameters)
    texts: list[str] = []
    by_name: dict[str, str] = {}
    for argument in split(text):
        if not argument.name or not (any_name or argument.name in names):
            texts.append(argument.text)
        elif argument.name in by_name:
            raise _Wrong(f"`{argument.name}` is given twice", f"参数 `{argument.name}` 重复")
        else:
            by_name[argument.name] = argument.value
    return texts, by_name


def _place(shape: Shape, texts: list[str], by_name: dict[str, str]) -> tuple[list[Any], int]:
    """Positional values, and how many parameters they fill; `*args`, or a list at the end, takes what is left over."""
    places = [p for p in shape.parameters if p.kind in _POSITIONAL]
    extra = next((p for p in shape.parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    for parameter in places[: len(texts)]:
        if parameter.name in by_name and parameter.kind in _BY_NAME:
            raise _Wrong(f"`{parameter.name}` is given twice", f"参数 `{parameter.name}` 重复")
    most = len(places)
    if len(texts) <= most or extra is not None:
        takers = [*places, *[extra] * (len(texts) - most)][: len(texts)]
        return [_value(p, text) for p, text in zip(takers, texts, strict=True) if p], min(len(texts), most)
    if places and _kind(places[-1].annotation) in _SEQUENCES:
        head = [_value(p, text) for p, text in zip(places[:-1], texts, strict=False)]
        return [*head, _value(places[-1], texts[most - 1 :])], most
    raise _Wrong(f"it takes at most {most} arguments, not {len(texts)}", f"最多 {most} 个参数，实际 {len(texts)} 个")


def _check_missing(shape: Shape, filled: int, by_name: dict[str, str]) -> None:
    places = [p for p in shape.parameters if p.kind in _POSITIONAL]
    named = [p for p in shape.parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    missing = [p.name for p in (*places[filled:], *named) if p.default is _EMPTY and p.name not in by_name]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        raise _Wrong(f"{names} missing", f"缺少参数 {names}")


def _converted(shape: Shape, name: str, text: str) -> Any:
    named = {p.name: p for p in shape.parameters if p.kind in _BY_NAME}
    others = [p for p in shape.parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    return _value(named.get(name) or others[0], text, name)


def _value(parameter: inspect.Parameter, text: str | list[str], name: str = "") -> Any:
    try:
        hint = parameter.annotation
        return convert(hint, text) if isinstance(text, str) else _convert_many(hint, text)
    except ValueError as exc:
        shown = name or parameter.name
        raise _Wrong(f"`{text}` is not usable for `{shown}`: {exc}", f"`{text}` 不能用于参数 `{shown}`：{exc}") from exc


def convert(hint: Any, text: str) -> Any:  # noqa: PLR0911 - one line a kind of hint
    """
    The value of one argument.

    Raises:
        ValueError: the text is none for this hint; its own text says why.
    """
    if hint in _AS_TYPED or isinstance(hint, (_Unresolved, typing.TypeVar)):
        return text
    kind = _kind(hint)
    if kind is Annotated:
        return _validate(hint, convert(typing.get_args(hint)[0], text))
    if kind in _UNIONS:
        return _convert_union(typing.get_args(hint), text)
    if kind is Literal:
        return _choose({str(value): value for value in typing.get_args(hint)}, text)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choose({member.name: member for member in hint} | {str(m.value): m for m in hint}, text)
    if kind in _SEQUENCES or kind in _MAPPINGS or _is_record(hint):
        return _convert_json(hint, text)
    if hint in (date, datetime):
        text = _dated(text)
    return _validate(hint, text)


def _kind(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint) or issubclass(hint, pydantic.BaseModel) or typing.is_typeddict(hint)
    )


def _convert_union(members: tuple[Any, ...], text: str) -> Any:
    """The first member that takes the text; a text comes last. Nothing, `none` and `null` are None."""
    if type(None) in members and str not in members and text.lower() in ("", "none", "null"):
        return None
    why = ""
    for member in (m for m in members if m not in (type(None), str)):
        try:
            return convert(member, text)
        except ValueError as exc:
            why = why or str(exc)
    if str in members:
        return text
    raise ValueError(why)


def _choose(choices: dict[str, Any], text: str) -> Any:
    if text in choices:
        return choices[text]
    folded = {key.lower(): value for key, value in choices.items()}
    if text.lower() in folded:
        return folded[text.lower()]
    raise ValueError("one of " + ", ".join(choices))


def _convert_json(hint: Any, text: str) -> Any:
    if _kind(hint) in _SEQUENCES and not text.startswith("["):
        return _convert_many(hint, [text])
    try:
        return _adapter(hint).validate_json(text)
    except pydantic.ValidationError as exc:
        raise ValueError(_reason(exc.errors(include_url=False)[0])) from exc


def _convert_many(hint: Any, texts: list[str]) -> Any:
    members = typing.get_args(hint)
    return _validate(hint, [convert(members[0], text) for text in texts] if len(members) == 1 else texts)


def _dated(text: str) -> str:
    if re.fullmatch(r"[0-9]{8}", text):
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if _NO_DATE.fullmatch(text):
        raise ValueError("write it as YYYY-MM-DD")
    return text


def _validate(hint: Any, value: Any) -> Any:
    try:
        return _adapter(hint).validate_python(value)
    except pydantic.ValidationError as exc:
        raise ValueError(_reason(exc.errors(include_url=False)[0])) from exc


def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return pydantic.TypeAdapter(hint)
    except Exception as exc:  # a hint is the user's code
        raise ValueError(f"no text can become a `{inspect.formatannotation(hint)}`") from exc


def _reason(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])
