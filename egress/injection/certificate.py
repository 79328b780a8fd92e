"""A client certificate out of a secret in PEM."""

import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from egress.client_certificate import ClientCertificate
from egress.secrets import Secret

from .value import NotInjectableError

_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def read_certificate(secret: Secret) -> ClientCertificate:
    """The certificate chain (leaf first) and the key of a secret in PEM. Raises NotInjectableError."""
    fault = "is not PEM with a certificate and its unencrypted private key"
    found = _KEY.search(secret.expose())
    try:
        chain = tuple(x509.load_pem_x509_certificates(secret.expose()))
        key = load_pem_private_key(found[0], None) if found else None
        if key is not None and key.public_key() == chain[0].public_key():
            return ClientCertificate(hashlib.sha256(secret.expose()).digest(), chain, key)  # type: ignore[arg-type] # OpenSSL refuses other kinds
        fault = "has a certificate and a private key that do not belong together" if key else fault
    except (ValueError, TypeError, IndexError):
        pass
    raise NotInjectableError(f'secret "{secret.name}" {fault}')
