"""The built-in functions, in one table. The first parameter of each is the context, which jobs do not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pyjobs.functions.builtin.backup import backup
from pyjobs.functions.builtin.cleanup import cleanup
from pyjobs.functions.builtin.database import database
from pyjobs.functions.builtin.files import file
from pyjobs.functions.builtin.mail import email
from pyjobs.functions.builtin.monitor import monitor
from pyjobs.functions.builtin.report import report
from pyjobs.functions.builtin.texts import dayin, echo, hello, math, test, time
from pyjobs.functions.builtin.web import sms, webhook

__all__ = ["BUILT_IN"]

BUILT_IN: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "Dayin": dayin,
        "Test": test,
        "Hello": hello,
        "Time": time,
        "Echo": echo,
        "Math": math,
        "File": file,
        "Database": database,
        "Email": email,
        "SMS": sms,
        "Webhook": webhook,
        "Backup": backup,
        "Cleanup": cleanup,
        "Monitor": monitor,
        "Report": report,
    }
)
