"""The Email function."""

from __future__ import annotations

import re

from pyjobs.functions.builtin.context import Context
from pyjobs.mailing import send_mail

__all__ = ["email"]


def email(context: Context, to: str, subject: str, body: str = "") -> str:
    """Send a mail: addresses (several separated by `;`), subject, text."""
    recipients = [address for address in re.split(r"[;,\s]+", to) if address]
    send_mail(context.settings, recipients, subject, body)
    return context.say(
        f"mail to {', '.join(recipients)}: {subject}", f"发送邮件到: {', '.join(recipients)}, 主题: {subject}"
    )
