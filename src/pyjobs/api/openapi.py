"""The OpenAPI 3.1 document, made of the route table: what is not in the table is not in it, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter

import pyjobs
from pyjobs.api.envelope import json_bytes
from pyjobs.api.routes import Route

__all__ = ["document", "document_bytes"]

_REF = "#/components/schemas/{model}"
_FORMS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_ABOUT = """业务错误以 HTTP 200 返回，`code` 为 404，`msg` 说明原因；`data` 始终存在。

参数可来自 JSON、表单（含 multipart）与查询字符串，同名时依此优先；数字可写作文本，空值视为未提供，未知参数被忽略。
每个路径也可加前缀 `/api` 访问。设置了令牌时，请带上 `Authorization: Bearer …`。
请求行或请求头不符合 HTTP 语法时，连接以不带正文的 400 结束。"""
_PAGE_KEYS = ("total", "pages_total", "page_total", "pages", "page", "page_size", "size")


@lru_cache
def document_bytes(prefix: str) -> bytes:
    """The document of all routes below a prefix, as JSON."""
    from pyjobs.api.table import ROUTES

    return json_bytes(document(ROUTES, prefix))


def document(routes: Iterable[Route], prefix: str = "") -> dict[str, Any]:
    """The document of some routes."""
    schemas: dict[str, Any] = {"Failure": _failure()}
    paths: dict[str, Any] = {}
    tags: dict[str, None] = {}
    for route in routes:
        if route.hidden:
            continue
        tags[route.tag] = None
        for path in route.paths:
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "小胡定时任务系统", "version": pyjobs.__version__, "description": _ABOUT},
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": tag} for tag in tags],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "API 令牌"}},
        },
    }


def _operation(route: Route, path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{path.replace('/', '_').replace('-', '_')}",
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _responses(route, schemas),
    }
    if path != route.path:
        found["description"] = f"同 `{route.path}`。"
    if route.scope == "free":
        found["security"] = []
    else:
        found["x-scope"] = route.scope
    if route.params is not None:
        schema = _params_schema(route.params, schemas)
        if route.method == "GET":
            found["parameters"] = _parameters(schema)
        else:
            example = _example(schema)
            media: dict[str, Any] = {"schema": schema, **({"example": example} if example else {})}
            found["requestBody"] = {"content": dict.fromkeys(_FORMS, media)}
    return found


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    failure = {"schema": {"$ref": _REF.format(model="Failure")}}
    answers: dict[str, Any] = {}
    for status in route.statuses:
        if 300 <= status < 400:
            answers[str(status)] = {"description": "重定向"}
        elif route.media != "application/json":
            answers[str(status)] = {"description": "成功", "content": {route.media: {"schema": {"type": "string"}}}}
        else:
            schema = _answer_schema(route, schemas)
            answers[str(status)] = {
                "description": "成功，或业务错误" if status == 200 else "不可用",
                "content": {"application/json": {"schema": schema}},
            }
    answers["default"] = {"description": "拒绝或出错", "content": {"application/json": failure}}
    return answers


def _answer_schema(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    data = {} if route.answer is None else _schema(TypeAdapter(route.answer).json_schema(ref_template=_REF), schemas)
    if route.bare:
        return {"anyOf": [data, {"$ref": _REF.format(model="Failure")}]} if data else {}
    properties: dict[str, Any] = {
        "code": {"type": "integer", "examples": [200]},
        "msg": {"type": "string", "examples": ["查询成功"]},
        "data": {"anyOf": [data, {"type": "null"}]} if data else {},
    }
    if route.paged:
        properties |= {name: {"type": "integer", "minimum": 0} for name in _PAGE_KEYS}
    return {"type": "object", "required": ["code", "msg", "data"], "properties": properties}


def _failure() -> dict[str, Any]:
    return {
        "type": "object",
        "title": "出错",
        "required": ["code", "msg", "data"],
        "properties": {
            "code": {"type": "integer", "examples": [404]},
            "msg": {"type": "string", "examples": ["任务不存在"]},
            "data": {"type": "null"},
        },
    }


def _params_schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(model.model_json_schema(ref_template=_REF), schemas)
    schema.pop("title", None)
    schema["properties"] = {name: _shown(value) for name, value in schema.get("properties", {}).items()}
    return schema


def _schema(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Move its definitions to the components."""
    schemas.update(schema.pop("$defs", {}))
    return schema


def _shown(about: Mapping[str, Any]) -> dict[str, Any]:
    """A field as people see it: "or null" says no more than that it may be absent."""
    shown = {key: value for key, value in about.items() if key not in ("title", "anyOf")}
    options = [option for option in about.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        shown |= options[0]
    elif options:
        shown["anyOf"] = options
    if shown.get("default", ...) is None:
        del shown["default"]
    return shown


def _parameters(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": about.get("description", ""),
            "schema": {key: value for key, value in about.items() if key != "description"},
        }
        for name, about in schema["properties"].items()
    ]


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about["examples"][0] for name, about in schema["properties"].items() if about.get("examples")}
