"""The document against the app, both by schemathesis: no 500, no answer outside its schema, no HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from pyjobs.api.openapi import document
from pyjobs.api.table import ROUTES

from .api_kit import an_api

pytestmark = pytest.mark.slow
DOCUMENT = json.loads(json.dumps(document(ROUTES)))
PLACES = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with an_api(tmp_path_factory.mktemp("fuzz")) as api:
        for number in range(3):
            api.post("/jobs/run", {"id": api.add(f"job {number}")})

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            environ.pop("HTTP_ACCEPT_ENCODING", None)  # the client that calls us here asks for gzip and cannot read it
            answer: Iterable[bytes] = api.app({"REMOTE_ADDR": "127.0.0.1", **environ}, start)
            return answer

        yield schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.mark.parametrize(("path", "method"), PLACES)
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(schema: Any, path: str, method: str, data: st.DataObject) -> None:
    operation = schema[path][method.upper()]
    mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = data.draw(operation.as_strategy(generation_mode=mode))

    response = case.call()

    case.validate_response(response, checks=[getattr(schemathesis.checks, name) for name in CHECKS])
    assert b"<html" not in response.content.lower()
