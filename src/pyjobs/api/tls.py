"""The certificate of the API: whether it can be used, and what Granian is told of it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pyjobs.config import Settings
from pyjobs.errors import BadSetting

__all__ = ["check_tls", "tls_options"]


def tls_options(settings: Settings) -> dict[str, Any]:
    """Granian's options for HTTPS; none without a certificate. Raises BadSetting."""
    from granian.constants import SSLProtocols

    check_tls(settings)
    if not settings.ssl_certfile:
        return {}
    certificate, key = settings.path(settings.ssl_certfile), settings.path(settings.ssl_keyfile)
    return {"ssl_cert": certificate, "ssl_key": key, "ssl_protocol_min": SSLProtocols.tls12}


def check_tls(settings: Settings) -> None:
    """Raise BadSetting when there is a certificate that cannot be used."""
    if not settings.ssl_certfile:
        return
    certificate, key = settings.path(settings.ssl_certfile), settings.path(settings.ssl_keyfile)
    for name, path in (("ssl_certfile", certificate), ("ssl_keyfile", key)):
        _check_readable(name, path)
    try:
        # A key with a pass phrase is refused rather than asked for.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as exc:
        why = getattr(exc, "reason", None) or exc
        raise BadSetting(
            "ssl_certfile",
            f"`{certificate}` and `{key}` are no usable pair of certificate and key: {why}",
            f"证书 `{certificate}` 与私钥 `{key}` 不可用：{why}",
            hint="both are PEM files, the key without a pass phrase",
            hint_zh="两者均应为 PEM 文件，私钥不能有口令",
        ) from exc


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as exc:
        raise BadSetting(
            name, f"`{path}` cannot be read: {exc.strerror}", f"`{path}` 无法读取：{exc.strerror}"
        ) from exc
