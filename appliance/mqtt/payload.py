"""PURE: a command's payload, read strictly.

What two readers could understand differently is refused, because it costs money and cannot be taken back: a name given
twice, NaN, anything after the value, octets that are not UTF-8.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.errors import Rejected

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["read_object", "rejected"]

_DETAILS = 3
"""Errors told of one payload: enough to mend it, not an echo of whatever was sent."""


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in ``payload``.

    Raises:
        Rejected: ``invalid``.
    """
    try:
        value = json.loads(payload, object_pairs_hook=_pairs, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Rejected("invalid", f"the payload is not UTF-8 at octet {error.start}") from error
    except RecursionError as error:
        raise Rejected("invalid", "the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Rejected("invalid", f"the payload is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number of thousands of digits
        raise Rejected("invalid", f"the payload is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Rejected("invalid", "the payload must be a JSON object, as in {…}", pointer="")
    return value


def rejected(error: ValidationError, given: object) -> Rejected:
    """What a model refuses in ``given``, for the client: the first pointer, and up to three errors in words."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    pointers = [_pointer(one["loc"], given) for one in errors]
    told = zip(pointers[:_DETAILS], errors, strict=False)
    details = "; ".join(f"{pointer or 'the command'}: {one['msg']}" for pointer, one in told)
    # Each branch of a union tells its own error: the branch that came furthest is what the client meant.
    furthest = max((pointer for pointer in pointers if pointer.startswith(pointers[0])), key=len)
    return Rejected("invalid", details, pointer=furthest)


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
        raise Rejected("invalid", "a name stands twice in one JSON object")
    return value


def _constant(name: str) -> Any:
    raise Rejected("invalid", f"{name} is not JSON")
