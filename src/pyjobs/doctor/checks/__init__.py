"""What is checked, by noun. Each check takes the facts and gives what it found; none changes anything."""

from __future__ import annotations
