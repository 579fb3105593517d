"""The OpenAPI description made ready for its page: operations by tag, their parameters, bodies and answers; shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_SAMPLES = {"integer": 0, "number": 0.5, "boolean": True, "array": [], "object": {}, "null": None}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a property of a shape."""

    name: str
    kind: str
    """In words: `string`, `list of Analysis`, `integer or null`."""
    needed: bool
    text: str
    place: str = ""
    """path, query, header or cookie; empty for a property."""
    shape: str = ""
    """The name of the shape that it refers to, where it refers to one."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent or answered: its media type and the kind of what it holds."""

    media: str
    kind: str
    shape: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an operation."""

    status: str
    text: str
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method at a path."""

    key: str
    method: str
    path: str
    summary: str
    text: str
    parameters: tuple[Field, ...]
    bodies: tuple[Body, ...]
    answers: tuple[Answer, ...]
    curl: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A named schema with its properties; `values` are those that an enumeration may take."""

    name: str
    text: str
    fields: tuple[Field, ...]
    values: tuple[str, ...]


def operations_of(document: Mapping[str, Any], base: str) -> dict[str, list[Operation]]:
    """The operations by tag, in the order of the document. `base` is the server's address, for the lines of curl."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document.get("paths", {}).items():
        for method in METHODS:
            if method in methods:
                each = methods[method]
                made = _operation(method, path, each, methods.get("parameters", []), base)
                found.setdefault(next(iter(each.get("tags", [])), "other"), []).append(made)
    return found


def shapes_of(document: Mapping[str, Any]) -> list[Shape]:
    """The named schemas, by name."""
    schemas = document.get("components", {}).get("schemas", {})
    return [
        Shape(
            name,
            each.get("description", ""),
            tuple(
                Field(
                    key, kind_of(part), key in each.get("required", ()), part.get("description", ""), "", shape_of(part)
                )
                for key, part in each.get("properties", {}).items()
            ),
            tuple(str(value) for value in each.get("enum", ())),
        )
        for name, each in sorted(schemas.items())
    ]


def kind_of(schema: Mapping[str, Any]) -> str:
    """A schema's type in words."""
    if "$ref" in schema:
        return _name(schema["$ref"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(kind_of(each) for each in schema[key]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(each) for each in schema["enum"])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if kind == "string" and schema.get("format"):
        return f"string ({schema['format']})"
    return str(kind)


def shape_of(schema: Mapping[str, Any]) -> str:
    """The name of the one shape that a schema refers to, itself or inside; empty without any."""
    if "$ref" in schema:
        return _name(schema["$ref"])
    inner = [schema.get("items", {}), *(each for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ()))]
    return next((name for each in inner if each and (name := shape_of(each))), "")


def _name(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _operation(method: str, path: str, each: Mapping[str, Any], shared: list[Any], base: str) -> Operation:
    parameters = tuple(
        Field(
            part["name"],
            kind_of(part.get("schema", {})),
            bool(part.get("required")),
            part.get("description", ""),
            part["in"],
        )
        for part in [*shared, *each.get("parameters", [])]
    )
    bodies = _bodies(each.get("requestBody", {}))
    answers = tuple(
        Answer(status, part.get("description", ""), _bodies(part)) for status, part in each.get("responses", {}).items()
    )
    return Operation(
        key=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        summary=each.get("summary", ""),
        text=each.get("description", ""),
        parameters=parameters,
        bodies=bodies,
        answers=answers,
        curl=_curl(method, path, parameters, each.get("requestBody", {}), base),
    )


def _bodies(part: Mapping[str, Any]) -> tuple[Body, ...]:
    return tuple(
        Body(media, kind_of(each.get("schema", {})), shape_of(each.get("schema", {})))
        for media, each in part.get("content", {}).items()
    )


def _curl(method: str, path: str, parameters: tuple[Field, ...], body: Mapping[str, Any], base: str) -> str:
    """A line to try the operation with, needed parameters in it; the key comes from the variable KEY."""
    for each in parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", each.name.upper())
    asked = "&".join(f"{each.name}={each.name.upper()}" for each in parameters if each.place == "query" and each.needed)
    parts = ["curl", "--head" if method == "head" else f"-X {method.upper()}" if method != "get" else ""]
    parts.append('-H "Authorization: Bearer $KEY"')
    parts += [f"-H '{each.name}: {each.name.upper()}'" for each in parameters if each.place == "header" and each.needed]
    offered = body.get("content", {})
    media = "multipart/form-data" if "multipart/form-data" in offered else next(iter(offered), "")
    if media == "application/json":
        parts += ["-H 'Content-Type: application/json'", f"-d '{_sample(body['content'][media].get('schema', {}))}'"]
    elif media == "multipart/form-data":
        parts.append("-F file=@clip.mp4")
    elif media:
        parts += [f"-H 'Content-Type: {media}'", "--data-binary @clip.mp4"]
    parts.append(f"'{base}{path}{f'?{asked}' if asked else ''}'")
    return " ".join(each for each in parts if each)


def _sample(schema: Mapping[str, Any]) -> str:
    named = {
        key: part.get("default", _SAMPLES.get(str(part.get("type")), "..."))
        for key, part in schema.get("properties", {}).items()
        if key in schema.get("required", ())
    }
    return json.dumps(named or {"...": "..."})
