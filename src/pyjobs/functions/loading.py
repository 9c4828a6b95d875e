"""
Importing user functions, inside a worker.

Every file is a module that this module's finder serves from the text which the executor sent, so that a file may import
its siblings, and gets the last good version of those that are broken now. A name that is importable otherwise (a file
called `json.py`) stays what it was for everybody: such a file gets another name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyjobs.functions.userfiles import Entry

__all__ = ["Loaded", "Module", "Progress", "collect", "load_all"]


class Progress:
    """
    Tells which file runs now: the innermost one, and the outer one again when that is done.

    So the file that hangs is blamed, and not one that imports it.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        """Take who is told a path, and whether it is the last good version."""
        self._tell = tell
        self._stack: list[tuple[str, bool]] = []

    @contextlib.contextmanager
    def running(self, path: str, *, old: bool) -> Iterator[None]:
        """Hold while a file runs."""
        self._stack.append((path, old))
        self._tell(path, old)
        try:
            yield
        finally:
            self._stack.pop()
            if self._stack:
                self._tell(*self._stack[-1])


@dataclass(slots=True)
class Loaded:
    """A function that can be called."""

    name: str
    call: Callable[..., Any]
    #: The file that it comes from; empty for a built-in one.
    path: str


class Module(importlib.abc.Loader):
    """Runs the text of one entry as a module; where its newest version fails, the last good one."""

    def __init__(self, entry: Entry, name: str, progress: Progress) -> None:
        """Take what to run, under which name, and who is told."""
        self.entry = entry
        self.name = name
        #: `new`, `old`, or empty when neither version could be imported.
        self.used = ""
        self._progress = progress

    def create_module(self, _: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Leave it to Python."""
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the newest version that works."""
        clean = dict(module.__dict__)
        for used, source in (("new", self.entry.source), ("old", self.entry.fallback)):
            if source is None:
                continue
            module.__dict__.clear()
            module.__dict__.update(clean)
            try:
                with self._progress.running(self.entry.path, old=used == "old"):
                    self._run(module, source)
            except BaseException as exc:  # a user's file may raise anything, SystemExit too
                self.entry.problem = self.entry.problem or _describe(exc, self.entry.path)
            else:
                self.used = used
                return
        raise ImportError(self.entry.problem or "it could not be read", name=self.name, path=self.entry.path)

    def _run(self, module: types.ModuleType, source: str) -> None:
        path = self.entry.path
        # Without a time of change nothing checks it against the disk, which may hold another version by now.
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what loading means


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, modules: Mapping[str, Module]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        loader = self._modules.get(fullname)
        if loader is None:
            return None
        return importlib.util.spec_from_file_location(fullname, loader.entry.path, loader=loader)


def load_all(entries: Iterable[Entry], progress: Progress) -> list[tuple[Module, types.ModuleType | None]]:
    """Import all files; None stands for one that could not be. Makes their folders importable, after all others."""
    modules: dict[str, Module] = {}
    for entry in entries:
        name = _module_name(entry, modules)
        modules[name] = Module(entry, name, progress)
    for module in modules.values():
        if module.entry.folder not in sys.path:
            sys.path.append(module.entry.folder)
    sys.meta_path.insert(0, _Finder(modules))
    return [(module, _import(module)) for module in modules.values()]


def _import(module: Module) -> types.ModuleType | None:
    try:
        return importlib.import_module(module.name)
    except BaseException as exc:  # a user's file may raise anything
        module.entry.problem = module.entry.problem or _describe(exc, module.entry.path)
        return None


def _module_name(entry: Entry, taken: Mapping[str, Module]) -> str:
    parts = Path(entry.path).relative_to(entry.folder).with_suffix("").parts
    name = ".".join(parts)
    if all(part.isidentifier() for part in parts) and name not in taken and _is_free(parts[0], entry):
        return name
    return f"pyjobs_user_functions_{len(taken)}_{parts[-1]}"


def _is_free(top: str, entry: Entry) -> bool:
    if top in sys.modules:
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin == entry.path:
        return True
    return spec.origin is None and entry.folder in [str(Path(p).parent) for p in spec.submodule_search_locations or ()]


def _describe(exc: BaseException, path: str) -> str:
    """`SyntaxError: invalid syntax (line 3)`; the line is that of the file itself."""
    if isinstance(exc, SyntaxError) and exc.filename == path:
        return f"{type(exc).__name__}: {exc.msg} (line {exc.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == path]
    where = f" (line {lines[-1]})" if lines else ""
    try:
        said = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    except Exception:  # its own __str__ may fail too
        said = type(exc).__name__
    return said + where


def collect(
    loaded: Iterable[tuple[Module, types.ModuleType | None]], built_in: Mapping[str, Any], owners: Mapping[str, str]
) -> dict[str, Loaded]:
    """
    The functions of all modules by name; what may not be taken is said in the entry's complaints.

    Args:
        loaded: as `load_all` gives it.
        built_in: names that no file may define.
        owners: name -> path of the functions before; of two files with one name the one that had it keeps it.
    """
    found: dict[str, list[Loaded]] = {}
    entries = {}
    for module, content in loaded:
        entries[module.entry.path] = module.entry
        for name, call in _public(content).items() if content is not None else ():
            found.setdefault(name, []).append(Loaded(name, call, module.entry.path))
    kept = {}
    for name, candidates in found.items():
        if name in built_in:
            for one in candidates:
                entries[one.path].complaints.append(f"`{name}` is the name of a built-in function")
        elif len(candidates) > 1:
            both = " and ".join(one.path for one in candidates)
            for one in candidates:
                entries[one.path].complaints.append(f"`{name}` is defined by {both}")
                if owners.get(name) == one.path:
                    kept[name] = one
        else:
            kept[name] = candidates[0]
    return kept


def _public(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or (callable(value) and hasattr(value, "__wrapped__")))
        and not inspect.isclass(value)
        and getattr(value, "__module__", None) == module.__name__
    }
