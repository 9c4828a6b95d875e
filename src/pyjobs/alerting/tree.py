"""The tree of a rule's expression: what each part gives over figures that are passed in."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = [
    "COMPARE", "NO_LABELS", "OVER_ALL", "RECKON", "Figures", "Labels", "Node", "Number", "OverAll", "OverTime",
    "Selector", "Two", "Vector",
]  # fmt: skip

Labels: TypeAlias = frozenset[tuple[str, str]]
#: What an expression gives: a value for each set of labels.
Vector: TypeAlias = dict[Labels, float]
NO_LABELS: Labels = frozenset()
OVER_ALL: dict[str, Callable[[list[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "count": lambda values: float(len(values)),
    "max": max,
    "min": min,
    "sum": sum,
}
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip


def _divided(left: float, right: float) -> float:
    return left / right if right else float("nan") if not left else float("inf") * left


def _rest(left: float, right: float) -> float:
    return left % right if right else float("nan")


RECKON: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divided, "%": _rest,
}  # fmt: skip


class Figures(Protocol):
    """What expressions are judged over."""

    def now(self, selector: Selector) -> Vector:
        """Values at this moment."""

    def increase(self, selector: Selector) -> tuple[Vector, float]:
        """How much they grew within the selector's range, and over how many seconds that was seen."""


class Node(Protocol):
    """A part of an expression."""

    def value(self, figures: Figures) -> Vector | float:
        """What it gives now."""

    def selectors(self) -> Iterator[Selector]:
        """The metrics in it."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric, the labels that it must have, and over how long (0: now)."""

    metric: str
    #: (label, sign, value)
    labels: tuple[tuple[str, str, str], ...] = ()
    range_ms: int = 0

    def value(self, figures: Figures) -> Vector:
        """The values that it selects."""
        return figures.now(self)

    def selectors(self) -> Iterator[Selector]:
        """Itself."""
        yield self

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is meant."""
        return all(_matches(labels.get(name, ""), sign, value) for name, sign, value in self.labels)


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    number: float

    def value(self, figures: Figures) -> float:  # noqa: ARG002 - the protocol's parameter
        """What it gives now."""
        return self.number

    def selectors(self) -> Iterator[Selector]:
        """The metrics in it."""
        yield from ()


@dataclass(frozen=True, slots=True)
class OverTime:
    """`increase` or `rate`: how a metric grew."""

    name: str
    selector: Selector

    def value(self, figures: Figures) -> Vector:
        """What it gives now."""
        grown, seconds = figures.increase(self.selector)
        if self.name == "increase":
            return grown
        return {labels: value / seconds for labels, value in grown.items()} if seconds else {}

    def selectors(self) -> Iterator[Selector]:
        """The metrics in it."""
        yield self.selector


@dataclass(frozen=True, slots=True)
class OverAll:
    """`sum` and its kin: one value of all."""

    name: str
    inner: Node

    def value(self, figures: Figures) -> Vector:
        """What it gives now."""
        values = _vector(self.inner.value(figures))
        return {NO_LABELS: OVER_ALL[self.name](list(values.values()))} if values else {}

    def selectors(self) -> Iterator[Selector]:
        """The metrics in it."""
        yield from self.inner.selectors()


@dataclass(frozen=True, slots=True)
class Two:
    """Two parts and what is between them."""

    sign: str
    left: Node
    right: Node

    def value(self, figures: Figures) -> Vector | float:
        """What it gives now."""
        left, right = self.left.value(figures), self.right.value(figures)
        if self.sign in ("and", "or"):
            return self._both(_vector(left), _vector(right))
        if self.sign in RECKON:
            reckon = RECKON[self.sign]
            if isinstance(left, float) and isinstance(right, float):
                return reckon(left, right)
            return {labels: reckon(a, b) for labels, a, b in _paired(left, right)}
        compare = COMPARE[self.sign]
        return {labels: a for labels, a, b in _paired(left, right) if compare(a, b)}

    def selectors(self) -> Iterator[Selector]:
        """The metrics in it."""
        yield from self.left.selectors()
        yield from self.right.selectors()

    def _both(self, left: Vector, right: Vector) -> Vector:
        if self.sign == "or":
            return right | left
        if NO_LABELS in right:
            return left
        return right if NO_LABELS in left else {labels: value for labels, value in left.items() if labels in right}


def _matches(found: str, sign: str, value: str) -> bool:
    same = re.fullmatch(value, found) is not None if "~" in sign else found == value
    return same is not sign.startswith("!")


def _vector(value: Vector | float) -> Vector:
    return {NO_LABELS: value} if isinstance(value, float) else value


def _paired(left: Vector | float, right: Vector | float) -> list[tuple[Labels, float, float]]:
    """Values that belong together: of the same labels; one without labels goes with each of the others."""
    one, two = _vector(left), _vector(right)
    if set(two) == {NO_LABELS}:
        return [(labels, value, two[NO_LABELS]) for labels, value in one.items()]
    if set(one) == {NO_LABELS}:
        return [(labels, one[NO_LABELS], value) for labels, value in two.items()]
    return [(labels, value, two[labels]) for labels, value in one.items() if labels in two]
