"""
The API as a plain WSGI app, for servers such as gunicorn and uWSGI: `gunicorn pyjobs.api.wsgi:app`.

The home and its settings are those of the environment; the app is built when a server asks for it, not at import.
"""

from __future__ import annotations

from typing import Any

__all__ = ["app"]  # noqa: F822 - made when it is asked for


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    from pyjobs import bootstrap

    settings, _ = bootstrap.load_settings()
    globals()[name] = bootstrap.build_api(settings).app
    return globals()[name]
