"""Photos with Content Credentials, signed offline by a test authority that is made for the run."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import c2pa
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A root certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass(frozen=True)
class Signing:
    """A signer's chain and key as PEM."""

    chain: str
    key: bytes


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def authority(name: str = "Test Root") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now, subject = datetime.now(UTC), _name(name, "FakeLab Tests")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3650 * DAY)
        .not_valid_after(now + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def signer(
    root: Authority,
    *,
    start_days: int = -30,
    end_days: int = 30,
    claimed: Authority | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Signing:
    """A signer below `root`; with `claimed`, its chain shows that root in place of the one that signed it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    shown = claimed or root
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("Test Signer", "Example Newsroom"))
        .issuer_name(shown.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start_days * DAY)
        .not_valid_after(now + end_days * DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(shown.certificate.public_key()), critical=False
        )
        .sign(root.key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signing(certificate.public_bytes(serialization.Encoding.PEM).decode() + shown.pem, private)


def expired(root: Authority) -> bytes:
    """A photo whose signer's certificate ran out: the library signs with no such one, so it is put in afterwards."""
    valid, made = signer(root), dict[bytes, bytes]()
    data = signed(valid, made=made)
    claim, signature = made.popitem()
    key, der = _key(valid), _der(valid)
    while len(old := _der(signer(root, start_days=-60, end_days=-30, key=key))) != len(der):
        pass  # its own signature takes 70 to 72 bytes
    return data.replace(der, old).replace(signature, _raw(key, claim.replace(der, old)))


def _key(by: Signing) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(by.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _der(by: Signing) -> bytes:
    return x509.load_pem_x509_certificates(by.chain.encode())[0].public_bytes(serialization.Encoding.DER)


def _raw(key: ec.EllipticCurvePrivateKey, claim: bytes) -> bytes:
    """The signature as COSE wants it."""
    r, s = decode_dss_signature(key.sign(claim, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def photo(size: tuple[int, int] = (160, 120), form: str = "JPEG") -> bytes:
    """A picture with some structure."""
    columns, rows = np.meshgrid(np.linspace(0, 7, size[0]), np.linspace(0, 5, size[1]))
    waves = np.stack([np.sin(columns), np.cos(rows), np.sin(columns + rows)], axis=2)
    buffer = io.BytesIO()
    Image.fromarray((127 + 90 * waves).astype(np.uint8)).save(
        buffer, form, **({"quality": 90} if form == "JPEG" else {})
    )
    return buffer.getvalue()


def signed(
    by: Signing, source_type: str = "digitalCapture", form: str = "JPEG", made: dict[bytes, bytes] | None = None
) -> bytes:
    """A photo with a credential that declares how it came about; `made` keeps what was signed and its signature."""
    first = {"action": "c2pa.created", "digitalSourceType": SOURCE + source_type}
    manifest = {
        "claim_generator_info": [{"name": "Test Camera", "version": "1.0"}],
        "title": "made for a test",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [first]}}],
    }
    key = _key(by)

    def sign(claim: bytes) -> bytes:
        signature = _raw(key, claim)
        if made is not None:
            made[claim] = signature
        return signature

    settings = {"verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False}}
    target = io.BytesIO()
    with (
        c2pa.Context(c2pa.Settings.from_dict(settings)) as context,
        c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ES256, by.chain, None) as own,
        c2pa.Builder(json.dumps(manifest), context=context) as builder,
    ):
        builder.sign(own, f"image/{form.lower()}", io.BytesIO(photo(form=form)), target)
    return target.getvalue()
