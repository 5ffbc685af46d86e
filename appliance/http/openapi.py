"""PURE: the table of routes as an OpenAPI 3.1 document.

Nothing is described twice: paths, parameters, bodies, answers, scopes and refusals are read from the rows and from the
models that the rows name; the words are the models' own docstrings. What is said here and nowhere else is what holds
for the whole API, and which answer leads where (links).

Source: OpenAPI 3.1.1 (spec.openapis.org/oas/v3.1.1), whose schemas are JSON Schema 2020-12, as pydantic writes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from appliance.http.problem import CONTENT_TYPE, KINDS
from appliance.http.replies import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from appliance.http.routes import Answer, Route

__all__ = ["document", "operation_id", "plain"]

Json = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"

TAGS = {
    "Messages": "Texts that are sent, and what becomes of them.",
    "Inbox": "Texts that came.",
    "Events": "What happens, as it happens, and again from any point in the past.",
    "Modems": "The modems of this hub.",
    "Hub": "How the hub is and how it is set.",
    "Tokens": "Who may do what.",
}

ABOUT = """\
Texts between GSM/LTE modems and whatever speaks HTTP. The JSON is that of MQTT.

**Tokens.** Every request brings `Authorization: Bearer <token>`; `modemhub token create` makes one, or the console.
A token has scopes: `send` (and see its own messages), `inbox`, `status` (and see everybody's messages), `control`,
`admin` (everything). A hub that nobody owns yet answers `unclaimed` to all of them.

**Accepted is a promise.** 202 is answered after the message is on the disk. From then on it ends visibly, whatever
happens to the hub, its modems or its power. The states: `queued`, `submitting`, `submitted` (the network has it),
`delivered` or `undelivered` (as the network reports), `failed`, `expired`, `cancelled`, and `in_doubt` where nobody can
know. Send an `Idempotency-Key`, and asking again is safe.

**Refusals** are problem documents (RFC 9457) with a stable `code`; a `pointer` says where in the body the fault is, and
`Retry-After` when it is worth asking again.

**Pages** have `next`: the cursor of the page that follows, null on the last one.
"""

_PARAMETERS: Mapping[str, Json] = {
    "id": {"description": "A message's `id`.", "schema": {"type": "string", "minLength": 1}},
    "imei": {"description": "A modem's IMEI.", "schema": {"type": "string", "pattern": "^[0-9]{14,16}$"}},
    "name": {"description": "A token's name.", "schema": {"type": "string", "minLength": 1}},
}

_RETRYING = frozenset({429, 503, 507})
"""Refusals that tell when it is worth asking again, where that is known."""


def document(routes: Iterable[Route], *, version: str) -> Json:
    """The OpenAPI document of these routes."""
    described = [route for route in routes if route.described]
    schemas = _schemas(described)
    paths: dict[str, Json] = {}
    for route in described:
        paths.setdefault(plain(route.path), {})[route.method.lower()] = _operation(route, schemas)
    for name, ids in _LINKS.items():
        _link(paths, name, ids)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "modemhub",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this hub"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of this hub."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as the password, with any user name: where a browser or Prometheus asks.",
                },
            },
            "schemas": schemas,
        },
    }


def operation_id(route: Route) -> str:
    """The operation's name: that of the function that does it."""
    return route.handler.__name__


def plain(path: str) -> str:
    """A path of the router as OpenAPI spells it: ``{path:.+}`` is ``{path}``."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


# ---------------------------------------------------------------------- schemas


def _schemas(routes: Sequence[Route]) -> dict[str, Json]:
    """The schemas of all bodies that go in or come out, by name."""
    going_in = [route.body for route in routes if route.body is not None]
    coming_out = [answer.model for route in routes for answer in route.answers.values() if answer.model is not None]
    wanted: dict[type[BaseModel], Any] = dict.fromkeys(going_in, "validation")
    wanted |= dict.fromkeys([*coming_out, Problem], "validation")
    _, found = models_json_schema([(model, mode) for model, mode in wanted.items()], ref_template=REFERENCE)
    return {name: _tidy(schema) for name, schema in sorted(found["$defs"].items())}


def _tidy(schema: Any) -> Any:
    """A schema without the titles that only repeat names, and with its words as Markdown."""
    match schema:
        case dict():
            return {
                key: _words(value)
                if key == "description" and isinstance(value, str)
                else {name: _tidy(inner) for name, inner in value.items()}
                if key in {"properties", "$defs"}
                else value
                if key in {"examples", "default", "const", "enum"}
                else _tidy(value)
                for key, value in schema.items()
                if key != "title"
            }
        case list():
            return [_tidy(each) for each in schema]
        case _:
            return schema


def _words(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": REFERENCE.format(model=model.__name__)}


# ---------------------------------------------------------------------- one operation


def _operation(route: Route, schemas: Mapping[str, Json]) -> Json:
    summary, _, more = (route.handler.__doc__ or "").partition("\n")
    operation: Json = {
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": _words(summary).rstrip("."),
        "description": _words(f"{more} {_who(route)}"),
        "security": _security(route),
        "responses": {str(status): _answer(answer) for status, answer in route.answers.items()} | _refusals(route),
    }
    if parameters := [*_path(route), *_query(route), *_headers(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        content: Json = {"schema": _reference(route.body)}
        if examples := schemas[route.body.__name__].get("examples"):
            content["examples"] = {f"example {n}": {"value": value} for n, value in enumerate(examples, start=1)}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _who(route: Route) -> str:
    if route.public:
        return "Anybody may ask."
    if not route.scopes:
        return "Any token may ask."
    return f"Needs the scope {' or '.join(f'`{scope}`' for scope in sorted(route.scopes))}."


def _security(route: Route) -> list[Json]:
    if route.public:
        return []
    return [{"bearer": []}, {"basic": []}] if route.basic else [{"bearer": []}]


def _path(route: Route) -> list[Json]:
    names = re.findall(r"\{(\w+)", route.path)
    return [{"name": name, "in": "path", "required": True, **_PARAMETERS[name]} for name in names]


def _query(route: Route) -> list[Json]:
    schema = _tidy(route.query.model_json_schema())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            **({"description": text} if (text := field.pop("description", None)) else {}),
            "schema": _never_null(field),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _never_null(schema: Json) -> Json:
    """A query's parameter is there or not: there is no null in a query string."""
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    return {**rest, **branches[0]} if branches else rest


def _headers(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": dict(_HEADERS[name])}
        for name, text in route.headers.items()
    ]


_HEADERS: Mapping[str, Json] = {
    "Idempotency-Key": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    "Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


# ---------------------------------------------------------------------- answers


def _answer(answer: Answer) -> Json:
    told: Json = {"description": answer.text}
    if answer.headers:
        told["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.media is not None:
        schema = {"type": "string"} if answer.model is None else _reference(answer.model)
        told["content"] = {answer.media: {"schema": schema}}
    return told


def _refusals(route: Route) -> Json:
    """The refusals of a route by status, each with its codes."""
    by_status: dict[int, list[str]] = {}
    for code in route.refuses:
        by_status.setdefault(KINDS[code].status, []).append(code)
    told: Json = {}
    for status, codes in by_status.items():
        if status in route.answers:
            continue
        response: Json = {
            "description": "; ".join(f"`{code}`: {_small(KINDS[code].title)}" for code in codes),
            "content": {
                CONTENT_TYPE: {
                    "schema": {"allOf": [_reference(Problem), {"properties": {"code": {"enum": codes}}}]},
                    "examples": {code: {"value": _example(code)} for code in codes},
                }
            },
        }
        if status == 401:
            response["headers"] = {
                "WWW-Authenticate": {"description": "how to bring a token", "schema": {"type": "string"}}
            }
        if status in _RETRYING:
            response["headers"] = {
                "Retry-After": {
                    "description": "seconds until it is worth asking again, where that is known",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
        told[str(status)] = response
    return told


def _small(title: str) -> str:
    return title[0].lower() + title[1:]


def _example(code: str) -> Json:
    kind = KINDS[code]
    return {
        "type": f"urn:modemhub:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title,
        "code": code,
    }


# ---------------------------------------------------------------------- links

_LINKS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "send": {
        "message": {"id": "$response.body#/id"},
        "cancel": {"id": "$response.body#/id"},
    },
    "messages": {"message": {"id": "$response.body#/messages/0/id"}},
    "inbox": {"received": {"id": "$response.body#/messages/0/id"}},
    "modems": {
        name: {"imei": "$response.body#/modems/0/imei"}
        for name in ("modem", "signal", "recoveries", "restart_modem", "power_cycle_modem", "ussd")
    },
    "create_token": {"revoke_token": {"name": "$response.body#/name"}},
}
"""Operation → the operations that its answer leads to, with their parameters (OpenAPI 3.1.1 §4.8.20)."""


def _link(paths: Mapping[str, Json], source: str, targets: Mapping[str, Mapping[str, str]]) -> None:
    for operation in (each for path in paths.values() for each in path.values()):
        if operation["operationId"] == source:
            accepted = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            accepted["links"] = {
                target: {"operationId": target, "parameters": dict(parameters)}
                for target, parameters in targets.items()
            }
