"""YAML without code in it, and without two values of one name, of which the library keeps the last."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml

__all__ = ["loader"]


@lru_cache(1)
def loader() -> Any:
    """The class of the loader; in C where the library was built with it, which is ten times as fast."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Strict(base):  # type: ignore[misc, unused-ignore]
        pass

    Strict.add_constructor("tag:yaml.org,2002:map", _mapping)
    return Strict


def _mapping(made_by: Any, node: Any) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        # Only plain names: `<<` takes another mapping in, whose values those that stand here replace.
        if key.tag == "tag:yaml.org,2002:str" and key.value in seen:
            raise yaml.YAMLError(f"line {key.start_mark.line + 1}: `{key.value}` stands here for the second time")
        seen.add(key.value if isinstance(key.value, str) else None)
    made_by.flatten_mapping(node)
    found: dict[Any, Any] = made_by.construct_mapping(node, deep=True)
    return found
