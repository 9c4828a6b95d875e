"""Figures of the host and of this process."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import pyjobs

__all__ = ["memory", "status", "threads", "version"]

#: macOS counts in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def version() -> str:
    """The version of pyjobs."""
    return pyjobs.__version__


def threads() -> int:
    """Threads of this process that Python knows."""
    return threading.active_count()


def memory() -> dict[str, int]:
    """Bytes: resident now, resident at most, of address space; and how often garbage was collected."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        size, resident = (int(n) * os.sysconf("SC_PAGE_SIZE") for n in pages[:2])
    except (OSError, ValueError):
        size = resident = most
    collected = sum(int(generation["collections"]) for generation in gc.get_stats())
    return {"alloc": resident, "total_alloc": max(most, resident), "sys": size, "num_gc": collected}


def status(home: Path) -> dict[str, Any]:
    """Load of the host and of this process; nothing in it waits for a sample."""
    import psutil

    virtual, disk, process = psutil.virtual_memory(), psutil.disk_usage(str(home)), psutil.Process()
    return {
        "cpu_percent": float(psutil.cpu_percent(None)),
        "cpu_count": psutil.cpu_count() or 1,
        "memory_percent": float(virtual.percent),
        "memory_total": virtual.total,
        "memory_available": virtual.available,
        "disk_percent": float(disk.percent),
        "disk_total": disk.total,
        "disk_free": disk.free,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "boot_time": int(psutil.boot_time()),
        "process": {
            "pid": process.pid,
            "memory_percent": round(process.memory_percent(), 2),
            "threads": threads(),
            **memory(),
        },
    }
