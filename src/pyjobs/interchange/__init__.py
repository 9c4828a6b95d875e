"""Jobs as text for others: documents, files of jobs, crontabs, units of systemd. Pure: no file, no store, no clock."""

from __future__ import annotations
