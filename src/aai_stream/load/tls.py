"""A certificate for loopback, made on the spot."""

from __future__ import annotations

import ssl
import tempfile
from typing import NamedTuple

from ..errors import MissingExtraError


class Certificate(NamedTuple):
    """What a server shows and whom a client shall trust, as PEM."""

    ca: bytes
    chain: bytes
    """The private key, and the certificates."""


def make_certificate() -> Certificate:
    """One of a CA that nobody knows. Raises `MissingExtraError` without trustme."""
    try:
        import trustme
    except ImportError:
        raise MissingExtraError(
            "TLS on loopback needs a certificate: pip install trustme, "
            "or measure without it by --plain"
        ) from None
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    return Certificate(ca.cert_pem.bytes(), leaf.private_key_and_cert_chain_pem.bytes())


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """For a server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate.chain)
        file.flush()
        context.load_cert_chain(file.name)
    return context
