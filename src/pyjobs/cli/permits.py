"""`pyjobs api token …` and `pyjobs api admin …`: who may use the API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.errors import Invalid
from pyjobs.permits import ApiToken

__all__ = ["admin_add", "token_add", "token_list", "token_revoke"]

NameArg = Annotated[str, typer.Argument(metavar="NAME", help="What it is for, or who has it.")]
NamesArg = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of tokens.")]
AdminArg = Annotated[str, typer.Argument(metavar="NAME", help="The name that they log in with.")]
Scopes = Annotated[
    list[str], typer.Option("--scope", "-s", metavar="SCOPE", help="read, run, edit or admin (all); may be repeated.")
]


@examples("pyjobs api token add grafana", "pyjobs api token add ci --scope read --scope run")
def token_add(
    ctx: typer.Context,
    name: NameArg,
    *,
    scope: Scopes = ["read"],  # noqa: B006 - Typer's shape
    output: Output = None,
    json: Json = False,
) -> None:
    """Make a token and print it, once. As soon as there is one, every client of the API needs one."""
    app = app_of(ctx, output, json=json)
    access = app.service.access()
    first = not access.grants()
    token, text = access.add_token(name, scope)
    if app.format == "table":
        app.write([text])
        app.say("token.added", name=token.name, scopes=", ".join(sorted(token.scopes)))
    else:
        render.document(app, {"token": {**_noun().document(token, app.view), "text": text}})
    if first:
        app.warn("token.first")


@examples("pyjobs api token list", "pyjobs api token list --json")
def token_list(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """List tokens: what each is good for, and when it was used last. The tokens themselves are not kept."""
    app = app_of(ctx, output, json=json)
    render.listing(app, _noun(), app.service.access().tokens())


@examples("pyjobs api token revoke ci", "pyjobs api token revoke grafana ci")
def token_revoke(ctx: typer.Context, names: NamesArg) -> None:
    """Make tokens worthless. Effective everywhere within a second."""
    app = app_of(ctx)
    access = app.service.access()
    for name in names:
        access.revoke_token(name)
        app.say("token.revoked", name=name)
    if not access.grants():
        app.warn("token.last")


@examples("pyjobs api admin add ops", "pass show ops | pyjobs api admin add ops --password-stdin")
def admin_add(
    ctx: typer.Context,
    name: AdminArg,
    *,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Give one that is there another password.")] = False,
) -> None:
    """Add an admin, who may log in at /admin. Asks for the password: on a command line others could read it."""
    app = app_of(ctx)
    password = _password(app, name, from_stdin=password_stdin)
    if reset:
        app.service.accounts().set_password(name, password)
        app.say("admin.reset", name=name)
    else:
        app.service.accounts().add(name, password)
        app.say("admin.added", name=name)


def _password(app: App, name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Invalid("--password-stdin", "is needed where nobody can be asked", "无法交互输入密码，需要该参数")
    import getpass

    password = getpass.getpass(app.text("admin.ask", name=name), sys.stderr)
    if getpass.getpass(app.text("admin.again"), sys.stderr) != password:
        raise Invalid("password", "the two are not the same", "两次输入不一致")
    return password


def _noun() -> Noun[ApiToken]:
    return Noun(
        singular="token",
        plural="tokens",
        name=lambda token: token.name,
        document=lambda token, view: {
            "name": token.name,
            "scopes": sorted(token.scopes),
            "created_at": view.iso(token.created_ms),
            "last_used_at": view.iso(token.used_ms),
        },
        columns=(
            Column("col.name", lambda token, _: token.name, style="bold"),
            Column("col.scopes", lambda token, _: ", ".join(sorted(token.scopes))),
            Column("col.added", lambda token, view: view.when(token.created_ms)),
            Column("col.used", lambda token, view: view.when(token.used_ms)),
        ),
    )
