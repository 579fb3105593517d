"""The OpenAPI description of the REST interface, with what FastAPI cannot see by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from fakelab.web.shapes import NewAnalysis, Problem

_BODIES: tuple[type[BaseModel], ...] = (NewAnalysis, Problem)
"""Bodies that are read or written by hand."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for body in _BODIES:
        schemas[body.__name__] = body.model_json_schema(ref_template="#/components/schemas/{model}")
    made["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key of `fakelab keys add`."},
        "session": {"type": "apiKey", "in": "cookie", "name": "fakelab", "description": "A browser that is signed in."},
    }
    made["security"] = [{"key": []}, {"session": []}]
    app.openapi_schema = made
    return made
