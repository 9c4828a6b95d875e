"""The OpenAPI document is valid and whole; the page comes from files of our own under a strict policy."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import pyjobs
from pyjobs.api.openapi import document
from pyjobs.api.table import ROUTES

from .api_kit import Api, an_api

STATIC = Path(pyjobs.__file__).parent / "api" / "static"
DOCUMENT = document(ROUTES)
OPERATIONS = [(path, method, about) for path, item in DOCUMENT["paths"].items() for method, about in item.items()]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def test_the_document_is_of_openapi_31(api: Api) -> None:
    found = api.get("/openapi.json").json

    assert found == json.loads(json.dumps(DOCUMENT))
    assert found["openapi"].startswith("3.1.")
    assert api.get("/swagger/doc.json").json == found
    assert api.get("/api/openapi.json").json == {**found, "servers": [{"url": "/api"}]}
    assert "任务" in api.get("/openapi.json").body.decode(), "Chinese is not escaped"


def test_every_route_is_in_the_document() -> None:
    declared = {(path, route.method.lower()) for route in ROUTES if not route.hidden for path in route.paths}

    assert {(path, method) for path, method, _ in OPERATIONS} == declared
    assert {"/jobs/add", "/jobs/create", "/jobs/ip-control/whitelist/add", "/health"} <= set(DOCUMENT["paths"])


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(DOCUMENT))).validate()


def test_every_reference_leads_somewhere() -> None:
    references = {part["$ref"] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}

    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"], reference


def test_every_schema_is_one() -> None:
    schemas = [part["schema"] for part in parts(DOCUMENT) if "schema" in part]

    for schema in [*schemas, *DOCUMENT["components"]["schemas"].values()]:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_operations_have_names_of_their_own() -> None:
    names = [about["operationId"] for _, _, about in OPERATIONS]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in names)


@pytest.mark.parametrize(("path", "method", "about"), [pytest.param(*o, id=f"{o[1]} {o[0]}") for o in OPERATIONS])
def test_every_operation_says_what_it_takes_and_answers(path: str, method: str, about: dict[str, Any]) -> None:
    assert about["summary"]
    assert about["tags"]
    assert "default" in about["responses"]
    assert method == "post" or "requestBody" not in about
    for parameter in about.get("parameters", ()):
        assert (parameter["in"], bool(parameter["schema"])) == ("query", True)


def test_examples_are_of_their_schema_and_in_chinese() -> None:
    body = DOCUMENT["paths"]["/jobs/add"]["post"]["requestBody"]["content"]["application/json"]

    jsonschema.validate(body["example"], body["schema"])
    assert body["example"]["name"] == "数据备份任务"


def test_the_example_of_add_can_be_sent_as_it_is(api: Api) -> None:
    body = DOCUMENT["paths"]["/jobs/add"]["post"]["requestBody"]["content"]["application/json"]

    assert api.post("/jobs/add", body["example"]).data["name"] == "数据备份任务"


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_page_loads_only_what_comes_with_it(api: Api, prefix: str) -> None:
    page = api.get(f"{prefix}/docs")
    text = page.body.decode()

    assert page.headers["Content-Type"].startswith("text/html")
    assert "swagger" in text
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert links.pop(0) == "data:,", "or the browser would ask for an icon"
    assert len(links) == 4
    for link in links:
        assert link.startswith(f"{prefix}/"), "it would be asked elsewhere"
        assert api.get(link).status == 200
    assert not re.search(r"<script>|<style|\son\w+=|style=", text), "the policy forbids it"


def test_the_policy_is_strict(api: Api) -> None:
    policy = api.get("/docs").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"])
def test_files_are_compressed_and_kept_by_browsers(api: Api, path: str) -> None:
    plain, packed = api.get(path), api.get(path, accept_encoding="gzip")

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    again = api.get(path, if_none_match=plain.headers["Etag"])
    assert (again.status, again.body) == (304, b"")


def test_the_page_is_at_gos_place_too(api: Api) -> None:
    reply = api.get("/swagger/index.html")

    assert (reply.status, reply.headers["Location"]) == (302, "/docs")


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/swagger/doc.json", "/swagger/index.html", "/docs/start.js", "/api/docs"]
)
def test_all_of_it_can_be_switched_off(tmp_path: Path, path: str) -> None:
    with an_api(tmp_path, docs="off") as api:
        reply = api.get(path)

        assert (reply.status, reply.json) == (404, {"code": 404, "msg": "请求路径不存在", "data": None})
        assert api.get("/", accept="text/html").json["msg"] == "小胡专用定时任务系统"


def test_vendored_files_are_what_their_checksums_say() -> None:
    folder = STATIC / "swagger-ui"
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines()]
    stated = {name: digest for digest, name in lines}

    assert {path.name for path in folder.iterdir()} == {*stated, "SHA256SUMS", "README"}
    assert {"LICENSE", "NOTICE"} <= set(stated)
    for name, digest in stated.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
