"""The REST façade: thin routes over the service layer, their gate and their documentation."""

from __future__ import annotations
