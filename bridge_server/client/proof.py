"""How the two sides prove that they know the secret, without showing it."""

from __future__ import annotations

import hashlib
import hmac


def client_password(secret: bytes) -> bytes:
    """What a client proves itself with (ZMTP PLAIN); hex, so that an impostor on a reused port learns no secret."""
    return hmac.new(secret, b"client", hashlib.sha256).hexdigest().encode("ascii")


def bridge_proof(secret: bytes, nonce: str) -> str:
    """What the bridge proves itself with in ``welcome``: HMAC-SHA256(secret, nonce of the client's hello), hex."""
    return hmac.new(secret, nonce.encode("utf-8"), hashlib.sha256).hexdigest()
