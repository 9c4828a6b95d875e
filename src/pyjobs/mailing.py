"""Mails by the server in the settings: for the built-in Email function and for alerts."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from pyjobs.config import Settings
from pyjobs.errors import RunFailed

__all__ = ["send_mail"]

_TIMEOUT_S = 30


def send_mail(settings: Settings, recipients: Sequence[str], subject: str, body: str) -> None:
    """
    Send one mail to all of them.

    Raises:
        RunFailed: it was not sent, or not to everybody; the text says why.
    """
    if not settings.smtp_host:
        raise RunFailed(
            "no mail server is set",
            "未配置邮件服务器",
            hint="set `smtp_host`, and `smtp_from`, `smtp_user`, `smtp_password`, `smtp_tls` as the server needs them",
            hint_zh="请设置 `smtp_host`，并按需设置 `smtp_from`、`smtp_user`、`smtp_password`、`smtp_tls`",
        )
    message = _message(settings, recipients, subject, body)
    try:
        with _server(settings) as server:
            if settings.smtp_user:
                server.login(settings.smtp_user, settings.smtp_password)
            refused = server.send_message(message)
    except (OSError, smtplib.SMTPException) as exc:
        raise RunFailed(f"the mail was not sent: {_reason(exc)}", f"邮件发送失败：{_reason(exc)}") from exc
    if refused:
        names = ", ".join(refused)
        raise RunFailed(f"the server refused {names}", f"服务器拒绝了 {names}")


def _message(settings: Settings, recipients: Sequence[str], subject: str, body: str) -> EmailMessage:
    sender = settings.smtp_from or settings.smtp_user
    if not sender:
        raise RunFailed("no sender is set", "未配置发件人", hint="set `smtp_from`", hint_zh="请设置 `smtp_from`")
    if not recipients:
        raise RunFailed("nobody to send it to", "没有收件人")
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = ", ".join(recipients)
        message["Subject"] = subject
    except (ValueError, IndexError) as exc:
        raise RunFailed(f"address or subject cannot be used: {exc}", f"地址或主题无效：{exc}") from exc
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="pyjobs.invalid")
    message.set_content(body)
    return message


def _server(settings: Settings) -> smtplib.SMTP:
    verified = ssl.create_default_context()
    if settings.smtp_tls == "ssl":
        return smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S, context=verified)
    server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S)
    if settings.smtp_tls == "starttls":
        try:
            server.starttls(context=verified)
        except BaseException:
            server.close()
            raise
    return server


def _reason(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        error = exc.smtp_error
        return f"{exc.smtp_code} {error.decode('utf-8', 'replace') if isinstance(error, bytes) else error}"
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return "the server refused " + ", ".join(exc.recipients)
    return str(exc) or type(exc).__name__
