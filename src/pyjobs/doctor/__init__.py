"""What `pyjobs doctor` looks at: facts gathered at the edge, checks that judge them, and what may be mended."""

from __future__ import annotations
