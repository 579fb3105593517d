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
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
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
    """A signer's chain and key, and the root that vouches for it, all as PEM; and the key of the authority between."""

    chain: bytes
    key: bytes
    root: bytes
    authority: ec.EllipticCurvePrivateKey


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
    return Signer(pem(own) + (b"" if broken else pem(middle)), key, pem(root), middle_key)


def expired(signer: Signer, source: str = "digitalCapture") -> bytes:
    """A photo whose signer's certificate ran out: the library signs with no such one, so it is put in afterwards."""
    key: Any = serialization.load_pem_private_key(signer.key, None)
    own = x509.load_pem_x509_certificates(signer.chain)[0].public_bytes(serialization.Encoding.DER)
    made: dict[bytes, bytes] = {}

    def sign(claim: bytes) -> bytes:
        made[claim] = _raw(key, claim)
        return made[claim]

    with (
        c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ES256, signer.chain.decode(), None) as how,
        c2pa.Builder(_declared(source)) as builder,
    ):
        out = io.BytesIO()
        builder.sign(how, "image/jpeg", io.BytesIO(photo()), out)
    claim, signature = made.popitem()
    now = datetime.now(UTC)
    old = b""
    while len(old) != len(own):  # its own signature takes 70 to 72 bytes
        old = _certificate(
            "Test signer", "Test authority", key, signer.authority, authority=False,
            start=now - timedelta(days=60), end=now - timedelta(days=30),
        ).public_bytes(serialization.Encoding.DER)  # fmt: skip
    return out.getvalue().replace(own, old).replace(signature, _raw(key, claim.replace(own, old)))


def _raw(key: ec.EllipticCurvePrivateKey, claim: bytes) -> bytes:
    """A signature as COSE wants it."""
    r, s = decode_dss_signature(key.sign(claim, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signed(
    signer: Signer,
    source: str = "digitalCapture",
    data: bytes | None = None,
    *,
    mime: str = "image/jpeg",
    parent: bytes = b"",
    trusts: bytes = b"",
    **manifest: Any,
) -> bytes:
    """A photo with a credential that declares where it comes from (one of IPTC's digital source types).

    `data` is the file of type `mime` to sign, a JPEG if not given; `parent` the signed file that it was edited from,
    whose credential was judged by the authorities that the signer `trusts`.
    """
    info = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256, sign_cert=signer.chain, private_key=signer.key, ta_url=None
    )
    out = io.BytesIO()
    settings: dict[str, Any] = {"verify": {"verify_trust": True}}
    if trusts:
        settings["trust"] = {"trust_anchors": trusts.decode()}
    with (
        c2pa.Context(c2pa.Settings.from_dict(settings)) as context,
        c2pa.Signer.from_info(info) as how,
        c2pa.Builder({**_declared(source), **manifest}, context=context) as builder,
    ):
        if parent:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            builder.add_ingredient({"title": "parent.jpg", "relationship": "parentOf"}, mime, io.BytesIO(parent))
        builder.sign(how, mime, io.BytesIO(data or photo()), out)
    return out.getvalue()


def _declared(source: str) -> dict[str, Any]:
    actions = [{"action": "c2pa.created", "digitalSourceType": SOURCE + source}]
    return {
        "claim_generator_info": [{"name": "FakeLab tests", "version": "1"}],
        "title": "picture.jpg",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
