"""
Alerts: the rules and channels of `alerting.yml`, what jobs want to be told about, and how it gets to people.

All of it runs in a process of its own (`pyjobs.alerter`), so that no rule and no mail server can hold up a fire.
"""

from __future__ import annotations

__all__: list[str] = []
