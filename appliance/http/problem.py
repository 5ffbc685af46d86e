"""Refusals as problem documents (RFC 9457).

Members: ``type``, ``title``, ``status``, ``detail``, ``instance``, and of our own a stable ``code`` and a ``pointer``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from appliance.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["KINDS", "Forbidden", "Kind", "of_rejected", "of_status", "problem"]

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means in HTTP."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "invalid": Kind(400, "The request cannot be understood"),
    "unauthorized": Kind(401, "A token is needed"),
    "forbidden": Kind(403, "The token does not allow this"),
    "unclaimed": Kind(403, "The hub has no owner yet"),
    "destination_not_allowed": Kind(403, "Texts to this number are not allowed"),
    "not_found": Kind(404, "There is no such thing"),
    "method_not_allowed": Kind(405, "This path knows no such method"),
    "not_cancellable": Kind(409, "The message is not in the queue any more"),
    "idempotency_conflict": Kind(409, "The idempotency key was used for something else"),
    "already_claimed": Kind(409, "The hub has an owner"),
    "token_exists": Kind(409, "There is a token of this name"),
    "too_large": Kind(413, "The body is too long"),
    "unsupported_media_type": Kind(415, "The body must be JSON"),
    "expired": Kind(422, "The command's time is over"),
    "not_encodable": Kind(422, "The text cannot be encoded"),
    "too_long": Kind(422, "The text is too long"),
    "no_such_modem": Kind(422, "There is no such modem"),
    "modem_failed": Kind(422, "The modem or the network did not do it"),
    "not_possible": Kind(422, "This cannot be done here"),
    "no_sim": Kind(422, "There is no such SIM"),
    "rate_limited": Kind(429, "Too many messages in a minute"),
    "quota_exceeded": Kind(429, "The quota is used up"),
    "too_many_attempts": Kind(429, "Too many wrong tokens"),
    "internal": Kind(500, "The hub failed at this request"),
    "not_implemented": Kind(501, "This is not implemented"),
    "unavailable": Kind(503, "The hub cannot do this now"),
    "store_full": Kind(507, "The disk is full"),
}
"""Code → status and title; a code that is not here is told as 400."""


class Forbidden(Rejected):
    """``forbidden``: the token lacks all of the scopes that would let in."""

    def __init__(self, scopes: Collection[str], *, client: str) -> None:
        names = " or ".join(sorted(scopes))
        super().__init__("forbidden", f"this needs the scope {names}; the token {client} lacks it")
        self.scopes = scopes


_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
"""What aiohttp itself refuses."""


def problem(
    code: str,
    detail: str,
    *,
    pointer: str | None = None,
    retry_after: float | None = None,
    scopes: Collection[str] = (),
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The response for a refusal.

    Args:
        code: stable, one of KINDS.
        detail: what is wrong and what to do, for a person.
        pointer: JSON pointer (RFC 6901) into the body.
        retry_after: seconds; also told as the header Retry-After, rounded up.
        scopes: any of which would let in.
        instance: the path that was asked for.
        headers: more headers.
    """
    kind = KINDS.get(code, Kind(400, "The request is refused"))
    document: dict[str, Any] = {
        "type": f"urn:modemhub:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
    }
    all_headers = dict(headers or {})
    if pointer is not None:
        document["pointer"] = pointer
    if scopes:
        document["scopes"] = sorted(scopes)
    if instance is not None:
        document["instance"] = instance
    if retry_after is not None:
        document["retry_after"] = retry_after
        all_headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return web.Response(
        status=kind.status,
        body=json.dumps(document, ensure_ascii=False).encode(),
        content_type=CONTENT_TYPE,
        headers=all_headers,
    )


def of_rejected(error: Rejected, *, instance: str) -> web.Response:
    """The response for what the hub or this door refuses."""
    return problem(
        error.code,
        error.detail,
        pointer=error.pointer,
        retry_after=error.retry_after,
        scopes=error.scopes if isinstance(error, Forbidden) else (),
        instance=instance,
    )


def of_status(error: web.HTTPException, *, instance: str) -> web.Response:
    """The response for what aiohttp refuses: no such path, no such method, too long a body."""
    code = _OF_STATUS.get(error.status, "invalid")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return problem(code, error.reason, instance=instance, headers=headers)
