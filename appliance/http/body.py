"""PURE: a request's body and query, read strictly.

What two readers could understand differently is refused, because it costs money and cannot be taken back: a name given
twice, NaN, anything after the value, octets that are not UTF-8, an unknown query parameter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_model", "read_query"]

Model = TypeVar("Model", bound=BaseModel)

_DETAILS = 3
"""Errors told of one request: enough to mend it, not an echo of whatever was sent."""


def read_model(model: type[Model], body: bytes) -> Model:
    """The ``model`` that the JSON ``body`` describes.

    Raises:
        Rejected: ``invalid``, with a pointer where one is at fault.
    """
    try:
        given = json.loads(body, object_pairs_hook=_pairs, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Rejected("invalid", f"the body is not UTF-8 at octet {error.start}") from error
    except RecursionError as error:
        raise Rejected("invalid", "the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Rejected("invalid", f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number of thousands of digits
        raise Rejected("invalid", f"the body is not JSON: {error}") from error
    return _validated(model, given, pointers=True)


def read_query(model: type[Model], query: Iterable[tuple[str, str]]) -> Model:
    """The ``model`` that a query string describes.

    Raises:
        Rejected: ``invalid``; without a pointer, as pointers are for bodies.
    """
    return _validated(model, _pairs(list(query)), pointers=False)


def _validated(model: type[Model], given: Any, *, pointers: bool) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        places = [_pointer(one["loc"], given) for one in errors]
        told = zip(places[:_DETAILS], errors, strict=False)
        details = "; ".join(f"{place or 'the request'}: {one['msg']}" for place, one in told)
        # Each branch of a union tells its own error: the branch that came furthest is what the client meant.
        furthest = max((place for place in places if place.startswith(places[0])), key=len)
        raise Rejected("invalid", details, pointer=furthest if pointers else None) from error


def _pointer(location: tuple[int | str, ...], given: object) -> str:
    """The JSON pointer (RFC 6901) of a pydantic location, without the names of union branches that pydantic adds."""
    pointer = ""
    for step in location:
        match given, step:
            case dict(), str():
                given = given.get(step)
            case list(), int():
                given = given[step]
            case _:
                continue
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return pointer


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Rejected("invalid", "a name stands twice")
    return value


def _constant(name: str) -> Any:
    raise Rejected("invalid", f"{name} is not JSON")
