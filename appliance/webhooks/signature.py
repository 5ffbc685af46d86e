"""PURE: signing by Standard Webhooks 1.0.0, symmetric scheme (``v1``: HMAC-SHA256).

What is signed is ``<webhook-id>.<webhook-timestamp>.<body>``, the body octet for octet as it is sent. Neither an id of
ours nor a timestamp has a full stop in it, so that no other three parts make the same octets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

__all__ = ["key_of", "sign"]

PREFIX = "whsec_"

SHORTEST, LONGEST = 24, 64
"""Octets of a key (Standard Webhooks 1.0.0, "Signature scheme": 192 to 512 bits)."""


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: ``whsec_<base64>`` is decoded, any other text is its UTF-8 octets.

    Raises:
        ValueError: it is too short, too long, or not base64; the secret is not in the text.
    """
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("what follows whsec_ is not base64 with its padding") from None
        if not SHORTEST <= len(key) <= LONGEST:
            raise ValueError(
                f"whsec_ must hold {SHORTEST} to {LONGEST} octets, not {len(key)}: "
                'make one by: echo "whsec_$(head -c 32 /dev/urandom | base64)"'
            )
        return key
    if len(secret) < SHORTEST:
        raise ValueError(
            f'a secret has {SHORTEST} characters or more: make one by: echo "whsec_$(head -c 32 /dev/urandom | base64)"'
        )
    return secret.encode()


def sign(key: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``; ``timestamp`` is that of the attempt, in whole seconds since 1970."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode("ascii")
