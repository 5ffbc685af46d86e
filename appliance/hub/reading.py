"""PURE: what a client wrote, read strictly; the same for every door.

What two readers could understand differently is refused, because it costs money and cannot be taken back: a name given
twice, NaN, anything after the value, octets that are not UTF-8, half a character (a lone surrogate), unknown names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_json", "read_model", "read_query", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_DETAILS = 3
"""Errors told of one command: enough to mend it, not an echo of whatever was sent."""


def read_json(octets: bytes) -> Any:
    """The JSON value in ``octets``.

    Raises:
        Rejected: ``invalid``.
    """
    try:
        value = json.loads(octets.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_constant=_constant)
        if b"\\u" in octets:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Rejected("invalid", "there is half a character in it (a lone surrogate): that is no text") from error
    except UnicodeDecodeError as error:
        raise Rejected("invalid", f"this is not UTF-8 at octet {error.start}") from error
    except RecursionError as error:
        raise Rejected("invalid", "the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Rejected("invalid", f"this is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number of thousands of digits
        raise Rejected("invalid", f"this is not JSON: {error}") from error
    return value


def read_model(model: type[Model], octets: bytes) -> Model:
    """The ``model`` that the JSON in ``octets`` describes.

    Raises:
        Rejected: ``invalid``, with a pointer where one is at fault.
    """
    return validated(model, read_json(octets))


def read_query(model: type[Model], query: Iterable[tuple[str, str]]) -> Model:
    """The ``model`` that a query string describes.

    Raises:
        Rejected: ``invalid``; without a pointer, as pointers are for bodies.
    """
    try:
        return validated(model, _pairs(list(query)))
    except Rejected as refused:
        refused.pointer = None
        raise


def validated(model: type[Model], given: Any) -> Model:
    """The ``model`` that ``given`` describes.

    Raises:
        Rejected: ``invalid``: the first pointer at fault, and up to three errors in words.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        pointers = [_pointer(one["loc"], given) for one in errors]
        told = zip(pointers[:_DETAILS], errors, strict=False)
        details = "; ".join(f"{pointer or 'the command'}: {one['msg']}" for pointer, one in told)
        # Each branch of a union tells its own error: the branch that came furthest is what the client meant.
        furthest = max((pointer for pointer in pointers if pointer.startswith(pointers[0])), key=len)
        raise Rejected("invalid", details, pointer=furthest) from error


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
