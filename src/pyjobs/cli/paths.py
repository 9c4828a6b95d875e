"""Files that a command is given: read whole, `-` being stdin; written whole, or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pyjobs.errors import BadDocument, NotAllowed, NotFound

__all__ = ["put", "read_bytes", "write_text"]

#: More than any document of jobs; what never ends, such as a device, is stopped here.
_LARGEST = 1 << 30


def read_bytes(name: str) -> bytes:
    """What a file holds. Raises NotFound, NotAllowed, BadDocument."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(_LARGEST)
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file `{name}`", f"文件 `{name}` 不存在") from exc
    except PermissionError as exc:
        raise NotAllowed(f"`{name}` cannot be read: {exc.strerror}", f"`{name}` 无法读取：{exc.strerror}") from exc
    except OSError as exc:
        raise BadDocument(f"`{name}` cannot be read: {exc.strerror}", f"`{name}` 无法读取：{exc.strerror}") from exc
    if len(content) > _LARGEST:
        raise BadDocument(f"`{name}` is larger than {_LARGEST >> 30} GiB", f"`{name}` 超过 {_LARGEST >> 30} GiB")
    return content


def put(file: str, pieces: Iterable[str]) -> None:
    """Write a document to a file, or to stdout for `-`: in UTF-8, whatever the terminal's encoding is."""
    if file != "-":
        write_text(Path(file), pieces)
        return
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.writelines(pieces)


def write_text(path: Path, pieces: Iterable[str], *, private: bool = True) -> None:
    """Put a text into a file, whose old content stays until all of it is there. `private`: for its owner only."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - a descriptor
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            if not private:
                os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
