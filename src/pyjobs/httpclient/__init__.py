"""Requests with a deadline, a deny list and masked secrets; for HTTP runs and for functions that call out."""

from __future__ import annotations
