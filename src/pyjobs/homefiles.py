"""
The files of a home that a backup takes along, and where each belongs: settings, alert rules, user functions.

Secrets stay at home: settings that are secret are taken out of the settings' file, a file that holds the value of one
is left out, and the folder of sockets and keys is never looked at.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyjobs.config import FILE_NAME, Settings

__all__ = ["SPECIFIED_FUNCTIONS", "Collected", "belongs_at", "collect"]

#: Where the specification keeps user functions, in home.
SPECIFIED_FUNCTIONS = Path("app", "function", "user_funcs")
_FILES = (FILE_NAME, "alerting.yml")
_LARGEST = 16 << 20
#: A shorter secret would be found by chance in any file.
_SHORTEST = 6
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Collected:
    """Files by their names in an archive, and what was left out: name -> why."""

    files: dict[str, bytes]
    left_out: dict[str, str]


def collect(settings: Settings) -> Collected:
    """Read all of them. What cannot be read is left out, never a reason to have no backup."""
    found = Collected({}, {})
    secrets = [value.encode() for value in _secrets(settings)]
    for name, path in _candidates(settings):
        try:
            content = path.read_bytes() if path.stat().st_size <= _LARGEST else None
        except OSError as exc:
            found.left_out[name] = exc.strerror or str(exc)
            continue
        if content is None:
            found.left_out[name] = "larger than 16 MiB"
            continue
        if name == f"home/{FILE_NAME}":
            content = _without_secrets(content, found.left_out)
        if content is None or any(secret in content for secret in secrets):
            found.left_out[name] = "holds a secret of the settings" if content is not None else "cannot be parsed"
        else:
            found.files[name] = content
    return found


def belongs_at(settings: Settings, name: str) -> Path | None:
    """Where a file of an archive belongs in this home; None for what is none of ours."""
    first, _, rest = name.partition("/")
    if first == "home":
        return settings.home / rest if rest in _FILES else None
    folder = _folders(settings).get(first)
    return folder / rest if folder is not None and rest else None


def _folders(settings: Settings) -> dict[str, Path]:
    return {"functions": settings.path(settings.functions_dir), "user_funcs": settings.home / SPECIFIED_FUNCTIONS}


def _candidates(settings: Settings) -> Iterator[tuple[str, Path]]:
    for name in _FILES:
        path = settings.home / name
        if path.is_file():
            yield f"home/{name}", path
    for first, folder in _folders(settings).items():
        for root, inner, names in os.walk(folder):
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__pycache__")
            for name in sorted(names):
                path = Path(root, name)
                # A link leads out of the folder, a FIFO would be read for ever.
                if name.endswith(".py") and name.isprintable() and path.is_file() and not path.is_symlink():
                    yield f"{first}/{path.relative_to(folder).as_posix()}", path


def _secret_names() -> set[str]:
    return {about.name for about in fields(Settings) if about.metadata.get("secret")}


def _is_harmless(name: str, value: object) -> bool:
    return name == "database_url" and isinstance(value, str) and value.startswith("sqlite:")


def _secrets(settings: Settings) -> Iterator[str]:
    """Values of secret settings, wherever they come from, and the passwords in addresses among them."""
    for name in _secret_names():
        value = getattr(settings, name)
        for text in value.values() if isinstance(value, Mapping) else [value]:
            if _is_harmless(name, text) or str(text).startswith("sqlite:"):
                continue
            for form in {str(text), *_password(str(text))}:
                if len(form) >= _SHORTEST:
                    yield form


def _password(text: str) -> set[str]:
    try:
        password = urlsplit(text).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}


def _without_secrets(content: bytes, left_out: dict[str, str]) -> bytes | None:
    """The settings' file as it is when it holds no secret, else written anew without them; None: it is no TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    names = _secret_names()
    gone = [key for key, value in values.items() if key.lower() in names and not _is_harmless(key.lower(), value)]
    if not gone:
        return content
    for key in gone:
        left_out[f"home/{FILE_NAME}: {key}"] = "secret"
    lines = [f"# Secrets were left out of the backup, set them again: {', '.join(gone)}"]
    lines += [f"{_key(key)} = {_toml(value)}" for key, value in values.items() if key not in gone]
    return ("\n".join(lines) + "\n").encode()


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(key))} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (str, bool)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
