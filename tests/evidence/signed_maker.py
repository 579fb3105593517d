"""Photos signed offline with a certificate authority made on the spot."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import c2pa
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def photo(seed: int = 0, side: int = 128, **options: Any) -> bytes:
    """A smooth picture as JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 92, **options})
    return buffer.getvalue()


@dataclass(frozen=True)
class Signer:
    """A signer's chain and key, and the root that vouches for it, all as PEM."""

    chain: bytes
    key: bytes
    root: bytes


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "FakeLab tests"),
        ]
    )


def _certificate(
    subject: str, issuer: str, key: Any, issuer_key: Any, *, authority: bool, start: datetime, end: datetime
) -> x509.Certificate:
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return built.sign(issuer_key, hashes.SHA256())


def make_signer(*, seconds: float = 86_400 * 30, broken: bool = False) -> Signer:
    """A signer below an authority below a root, valid for so long; `broken` leaves the authority out of the chain."""
    now = datetime.now(UTC)
    long = {"start": now - timedelta(days=3650), "end": now + timedelta(days=3650)}
    root_key, middle_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = _certificate("Test root", "Test root", root_key, root_key, authority=True, **long)
    middle = _certificate("Test authority", "Test root", middle_key, root_key, authority=True, **long)
    own = _certificate(
        "Test signer",
        "Test authority",
        own_key,
        middle_key,
        authority=False,
        start=now - timedelta(days=1),
        end=now + timedelta(seconds=seconds),
    )

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    key = own_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signer(pem(own) + (b"" if broken else pem(middle)), key, pem(root))


def signed(signer: Signer, source: str = "digitalCapture", data: bytes | None = None, **manifest: Any) -> bytes:
    """A photo with a credential that declares where it comes from (one of IPTC's digital source types)."""
    info = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256, sign_cert=signer.chain, private_key=signer.key, ta_url=None
    )
    declared = {
        "claim_generator_info": [{"name": "FakeLab tests", "version": "1"}],
        "title": "picture.jpg",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE + source}]},
            }
        ],
        **manifest,
    }
    out = io.BytesIO()
    with c2pa.Signer.from_info(info) as how, c2pa.Builder(declared) as builder:
        builder.sign(how, "image/jpeg", io.BytesIO(data or photo()), out)
    return out.getvalue()
