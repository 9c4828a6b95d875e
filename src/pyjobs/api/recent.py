"""
Answers that were given already, kept while they are still right.

Clients ask for the same list again and again. Whether anything was committed since costs the store a hundredth of
what the list costs; nothing is ever answered that the store would not say now.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from pyjobs.api.envelope import body_of
from pyjobs.api.routes import Answer, Site

__all__ = ["Recent"]

_ENTRIES = 64
_LONGEST = 1 << 17


class Recent:
    """The last answers of routes that are `steady`, with their bytes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: dict[Hashable, tuple[Any, Any, Answer]] = {}

    def answer(self, site: Site, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """The answer that was kept, or the one that `make` gives, whose failures are not kept."""
        mine = (threading.get_ident(), key)  # what a version says holds for one connection, and so for one thread
        version = site.service.system.version()  # before the answer: what is committed meanwhile makes it too old
        kept = self._kept.get(mine)
        if kept is not None and kept[0] == version and kept[1] is site.settings:
            return kept[2]
        answer = make()
        if answer.code != 200:
            return answer
        answer = Answer(body=body_of(answer, bare=False))
        if len(answer.body or b"") <= _LONGEST:
            if len(self._kept) >= _ENTRIES:
                self._kept.clear()
            self._kept[mine] = (version, site.settings, answer)
        return answer
