"""Client certificates on upstream connections (mutual TLS). A connection made with one serves no rule with another."""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from mitmproxy.net import tls as net_tls
from OpenSSL import SSL


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and its key, by the digest of both."""

    digest: bytes
    chain: tuple[x509.Certificate, ...] = field(compare=False, repr=False)
    key: CertificateIssuerPrivateKeyTypes = field(compare=False, repr=False)


def context_with(certificate: ClientCertificate, trusted: str) -> SSL.Context:
    """A context of its own that verifies servers by the PEM file `trusted` and shows them the certificate."""
    context = net_tls.create_proxy_server_context.__wrapped__(
        method=net_tls.Method.TLS_CLIENT_METHOD,
        min_version=net_tls.Version.TLS1_2,
        max_version=net_tls.Version.UNBOUNDED,
        cipher_list=None,
        ecdh_curve=None,
        verify=net_tls.Verify.VERIFY_PEER,
        ca_path=None,
        ca_pemfile=trusted,
        client_cert=None,
        legacy_server_connect=False,
    )
    leaf, *others = certificate.chain
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    context.use_privatekey(certificate.key)
    context.check_privatekey()
    return context
