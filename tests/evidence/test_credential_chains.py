"""Credentials in other formats, of files that were made from others, and in signed IPTC fields; nothing is fetched."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from signed_maker import SOURCE, Signer, make_signer, photo, signed

from fakelab.evidence import Evidence, examine
from fakelab.media import Limits
from fakelab.records import Check
from media_maker import make_video

GENERATED = "trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return make_signer()


def examined(path: Path, data: bytes, root: bytes) -> tuple[Check, list[str]]:
    path.write_bytes(data)
    evidence: Evidence = examine(path, Limits(), root.decode())
    check = next(each for each in evidence.checks if each.name == "provenance")
    return check, [each.code for each in evidence.statements]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_other_kinds_of_photo(tmp_path: Path, signer: Signer, form: str) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo())).save(buffer, form)
    data = signed(signer, GENERATED, buffer.getvalue(), mime=f"image/{form.lower()}")
    check, codes = examined(tmp_path / f"a.{form.lower()}", data, signer.root)
    assert (check.state, codes) == ("valid", ["declared_generated"])


def test_a_video(tmp_path: Path, signer: Signer) -> None:
    path = make_video(tmp_path / "plain.mp4", frames=30)
    data = signed(signer, GENERATED, path.read_bytes(), mime="video/mp4")
    check, codes = examined(tmp_path / "a.mp4", data, signer.root)
    assert (check.state, codes) == ("valid", ["declared_generated"])
    broken = bytearray(data)
    broken[broken.rindex(b"mdat") + 100] ^= 1
    check, codes = examined(tmp_path / "b.mp4", bytes(broken), signer.root)
    assert (check.state, codes) == ("invalid", ["stated_generated"])
    assert "The video was changed after it was signed." in check.contradictions


def test_edited_from_a_generated_file(tmp_path: Path, signer: Signer) -> None:
    parent = signed(signer, GENERATED)
    child = signed(signer, "minorHumanEdits", parent, parent=parent, trusts=signer.root, assertions=[])
    check, codes = examined(tmp_path / "a.jpg", child, signer.root)
    assert (check.state, codes) == ("valid", ["declared_generated"])


def test_a_trusted_signer_does_not_vouch_for_what_a_stranger_said_before(tmp_path: Path, signer: Signer) -> None:
    """Anyone can sign a genuine photo as generated and have a newsroom's tool add its own credential."""
    parent = signed(make_signer(), GENERATED)
    child = signed(signer, "minorHumanEdits", parent, parent=parent, trusts=signer.root, assertions=[])
    check, codes = examined(tmp_path / "a.jpg", child, signer.root)
    assert check.state == "valid"
    assert codes == ["stated_generated"]
    assert "source file, whose issuer is not trusted" in check.sentence


def test_an_edit_with_a_generator_concerns_a_part(tmp_path: Path, signer: Signer) -> None:
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE + "digitalCapture"}
    filled = {"action": "c2pa.edited", "digitalSourceType": SOURCE + GENERATED}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [created, filled]}}
    check, codes = examined(tmp_path / "a.jpg", signed(signer, assertions=[actions]), signer.root)
    assert (check.state, codes) == ("valid", ["declared_composite"])


def test_signed_iptc_fields_are_read(tmp_path: Path, signer: Signer) -> None:
    fields = {
        "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
        "Iptc4xmpExt:DigitalSourceType": SOURCE + GENERATED,
    }
    metadata = {"label": "cawg.metadata", "data": fields}
    created = {"label": "c2pa.actions.v2", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": "x"}]}}
    check, codes = examined(tmp_path / "a.jpg", signed(signer, assertions=[created, metadata]), signer.root)
    assert (check.state, codes) == ("valid", ["declared_generated"])


def test_a_credential_elsewhere_is_not_fetched(tmp_path: Path, signer: Signer) -> None:
    """The pointer leads to this machine: a connection would be counted."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/credential.c2pa"
        packet = (
            "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
            "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
            f"<rdf:Description xmlns:dcterms='http://purl.org/dc/terms/' dcterms:provenance='{address}'/>"
            "</rdf:RDF></x:xmpmeta>"
        ).encode()
        data = photo()
        data = data[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + data[2:]
        check, codes = examined(tmp_path / "a.jpg", data, signer.root)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert check.state == "incomplete" and codes == []
