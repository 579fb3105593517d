"""Reports that can be held to account: each bears a signature over its own bytes, its record and the head of the log.

The instance has an Ed25519 key (RFC 8032), made on first use and readable by its owner alone. A sealed report is the
report as it was, plus one line (for ZIP the archive's comment) that says whose record it is, the SHA-256 of all its
other bytes, the head of the event log, and the signature over that; the record itself travels inside, compressed, so
that the report alone is enough to repeat the run years later.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fakelab.errors import EnvironmentBrokenError, UsageError
from fakelab.service.chain import canonical

KEY_FILE = "signing-key.pem"
VERSION = "fakelab.seal/1"
SEALED_FORMATS = ("json", "html", "pdf", "zip", "text")
_MOST_BYTES = 64 << 20
"""Of a record unpacked from a seal: a report from a stranger must not fill the memory."""
_LINES: dict[str, tuple[bytes, bytes]] = {
    "html": (b"<!-- fakelab-seal ", b" -->\n"),
    "pdf": (b"% fakelab-seal ", b"\n"),
    "text": (b"fakelab-seal ", b"\n"),
    "json": (b',\n  "seal": "', b'"\n}\n'),
}
"""What stands around the seal in its line, by format."""
_OWN_DOCUMENT = ("json", "zip")
"""Formats that hold the record anyway: the document itself, or report.json in the archive."""
_END_OF_JSON = b"\n}\n"
_ZIP_END = b"PK\x05\x06"


@dataclass(frozen=True, slots=True)
class Seal:
    """What a sealed report says of itself."""

    run: str
    document: dict[str, Any]
    """The record, in the schema fakelab.analysis/1."""
    report_sha256: str
    head_seq: int
    head: str
    """Number and hash of the log's last event when the report was made."""
    signed: str
    """RFC 3339, UTC."""
    public_key: str
    """Hexadecimal, 32 bytes."""
    signature: str

    @property
    def fingerprint(self) -> str:
        """The key in short: the first 16 hexadecimal digits of its SHA-256."""
        return fingerprint(self.public_key)


def fingerprint(public_key: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a key (hexadecimal)."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


class Signer:
    """The key of this instance, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._key = _key(folder / KEY_FILE)
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = raw.hex()

    def seal(
        self, report: bytes, form: str, *, run: str, document: Mapping[str, Any], head: tuple[int, str], at: str
    ) -> bytes:
        """The report with its seal. Raises UsageError for a format that cannot bear one."""
        body = {
            "version": VERSION,
            "run": run,
            "document": ""
            if form in _OWN_DOCUMENT
            else base64.b64encode(zlib.compress(canonical(document), 9)).decode(),
            "report_sha256": hashlib.sha256(report).hexdigest(),
            "head_seq": head[0],
            "head": head[1],
            "signed": at,
            "public_key": self.public_key,
        }
        signature = self._key.sign(canonical(body)).hex()
        return _attach(report, form, base64.urlsafe_b64encode(canonical({**body, "signature": signature})))


def read_seal(data: bytes, form: str) -> Seal:
    """The seal of a report whose bytes and signature fit.

    Raises UsageError, with what is wrong: no seal, altered since, or a signature that is none.
    """
    report, line = _detach(data, form)
    try:
        body: dict[str, Any] = json.loads(base64.urlsafe_b64decode(line))
        signature = bytes.fromhex(body.pop("signature"))
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(body["public_key"])).verify(signature, canonical(body))
        document: dict[str, Any] = json.loads(_record(report, form, body["document"]))
    except InvalidSignature as error:
        raise UsageError("the seal was altered", "its signature does not fit", _DO) from error
    except (ValueError, KeyError, TypeError, zlib.error, zipfile.BadZipFile) as error:
        raise UsageError("the seal cannot be read", str(error), _DO) from error
    if hashlib.sha256(report).hexdigest() != body["report_sha256"]:
        raise UsageError("the report was altered after it was signed", "its bytes no longer have the signed hash", _DO)
    return Seal(
        body["run"],
        document,
        body["report_sha256"],
        body["head_seq"],
        body["head"],
        body["signed"],
        body["public_key"],
        signature.hex(),
    )


def _record(report: bytes, form: str, carried: str) -> bytes:
    """The canonical JSON of the record, from the seal or from the report itself; at most `_MOST_BYTES`."""
    if form == "json":
        return report
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(report)) as archive, archive.open("report.json") as file:
            return file.read(_MOST_BYTES)
    return zlib.decompressobj().decompress(base64.b64decode(carried), _MOST_BYTES)


_DO = "Do not rely on it: get the report again from whoever made it."


def form_of(data: bytes) -> str:
    """The format of a report, by its first bytes."""
    start = data.lstrip()[:64].lower()
    if start.startswith(b"%pdf"):
        return "pdf"
    if start.startswith(b"pk"):
        return "zip"
    if start.startswith(b"<!doctype html"):
        return "html"
    return "json" if start.startswith(b"{") else "text"


def _attach(report: bytes, form: str, line: bytes) -> bytes:
    if form == "zip":
        at = report.rfind(_ZIP_END)
        if at < 0 or report[at + 20 : at + 22] != b"\0\0":
            raise UsageError("the ZIP report cannot be sealed", "it has a comment already", "")
        return report[: at + 20] + len(line).to_bytes(2, "little") + line
    if form not in _LINES:
        raise UsageError(f"a report in the format '{form}' cannot be sealed", "", f"Use {', '.join(SEALED_FORMATS)}.")
    before, after = _LINES[form]
    if form == "pdf":
        # Readers look for the end of a PDF in its last 1,024 bytes: it stands behind the seal once more.
        after += _end_of_pdf(report)
    if form == "json":
        if not report.endswith(_END_OF_JSON):
            raise UsageError("the JSON report cannot be sealed", "it does not end like ours", "")
        return report[: -len(_END_OF_JSON)] + before + line + after
    return report + before + line + after


def _detach(data: bytes, form: str) -> tuple[bytes, bytes]:
    """The report as it was, and the seal's line."""
    if form == "zip":
        at = data.rfind(_ZIP_END)
        length = int.from_bytes(data[at + 20 : at + 22], "little") if at >= 0 else 0
        if not length or at + 22 + length != len(data):
            raise UsageError("the report bears no seal", "", "Only reports of `fakelab report` are sealed.")
        return data[: at + 20] + b"\0\0", data[at + 22 :]
    before, after = _LINES[form]
    if form == "pdf":
        after += _end_of_pdf(data)
    match = re.search(re.escape(before) + rb"([A-Za-z0-9_=-]+)" + re.escape(after) + rb"\Z", data)
    if match is None:
        raise UsageError("the report bears no seal", "", "Only reports of `fakelab report` are sealed.")
    if form == "pdf" and _end_of_pdf(data[: match.start()]) != _end_of_pdf(data):
        raise UsageError("the report was altered after it was signed", "its two ends are not the same", _DO)
    return data[: match.start()] + (_END_OF_JSON if form == "json" else b""), match[1]


def _end_of_pdf(data: bytes) -> bytes:
    """What a PDF ends with: where its table of objects lies, and %%EOF; empty if it is not there."""
    return data[at:] if (at := data.rfind(b"startxref")) >= 0 else b""


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            part = path.with_name(f".{path.name}.{os.getpid()}")
            fd = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(pem)
            try:
                os.link(part, path)  # the first of two processes wins, and both then read its key
            except FileExistsError:
                pass
            finally:
                part.unlink()
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise EnvironmentBrokenError(f"the signing key '{path}' cannot be used", str(error), "Restore it.") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise EnvironmentBrokenError(f"the signing key '{path}' cannot be used", "it is not Ed25519", "Restore it.")
    return loaded
