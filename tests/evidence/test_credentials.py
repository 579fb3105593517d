"""Content Credentials, signed here: valid, untrusted, changed, broken, expired; and what they declare."""

from __future__ import annotations

from pathlib import Path

import pytest
from signed_maker import Signer, expired, make_signer, photo, signed

from fakelab import analyze
from fakelab.evidence import Evidence, examine
from fakelab.media import Limits
from fakelab.records import Check, Level
from fakelab.settings import read_settings


@pytest.fixture(scope="module")
def signer() -> Signer:
    return make_signer()


def examined(folder: Path, data: bytes, root: bytes = b"", name: str = "photo.jpg") -> Evidence:
    (folder / name).write_bytes(data)
    return examine(folder / name, Limits(), root.decode())


def named(evidence: Evidence, name: str) -> Check:
    return next(each for each in evidence.checks if each.name == name)


def test_a_trusted_credential_is_valid(tmp_path: Path, signer: Signer) -> None:
    evidence = examined(tmp_path, signed(signer), signer.root)
    check = named(evidence, "provenance")
    assert check.state == "valid", check
    facts = dict(check.facts)
    assert facts["Issuer"] == "Test signer / FakeLab tests"
    assert facts["Made with"].startswith("FakeLab tests 1")
    assert facts["Actions"] == "created"
    assert facts["Declared origin"] == "taken with a digital camera"
    assert not check.contradictions and not evidence.statements


def test_without_a_list_of_trust_the_issuer_is_untrusted(tmp_path: Path, signer: Signer) -> None:
    assert named(examined(tmp_path, signed(signer)), "provenance").state == "untrusted_issuer"
    assert named(examined(tmp_path, signed(signer), make_signer().root), "provenance").state == "untrusted_issuer"


def test_one_changed_byte_of_the_picture_makes_it_invalid(tmp_path: Path, signer: Signer) -> None:
    data = bytearray(signed(signer))
    data[-200] ^= 1
    check = named(examined(tmp_path, bytes(data), signer.root), "provenance")
    assert check.state == "invalid"
    assert check.contradictions == ("The picture was changed after it was signed.",)


def test_one_changed_byte_of_the_statement_makes_it_invalid(tmp_path: Path, signer: Signer) -> None:
    data = bytearray(signed(signer))
    data[data.index(b"picture.jpg")] ^= 1
    check = named(examined(tmp_path, bytes(data), signer.root), "provenance")
    assert check.state == "invalid"
    assert "The signature does not fit the signed statement." in check.contradictions


def test_a_broken_chain_is_not_trusted(tmp_path: Path) -> None:
    broken = make_signer(broken=True)
    assert named(examined(tmp_path, signed(broken), broken.root), "provenance").state == "untrusted_issuer"


def test_an_expired_certificate_makes_it_invalid(tmp_path: Path, signer: Signer) -> None:
    evidence = examined(tmp_path, expired(signer, "trainedAlgorithmicMedia"), signer.root)
    check = named(evidence, "provenance")
    assert check.state == "invalid"
    assert "The signer's certificate had expired." in check.contradictions
    assert [each.code for each in evidence.statements] == ["stated_generated"]


def test_a_cut_credential_is_invalid(tmp_path: Path, signer: Signer) -> None:
    data = signed(signer)
    at = data.index(b"\xff\xeb")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    half = length // 2
    cut = data[: at + 2] + half.to_bytes(2, "big") + data[at + 4 : at + 2 + half] + data[at + 2 + length :]
    assert named(examined(tmp_path, cut, signer.root), "provenance").state == "invalid"


def test_a_pointer_to_a_credential_elsewhere_is_incomplete(tmp_path: Path) -> None:
    packet = (
        b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        b'<rdf:Description dcterms:provenance="https://example.org/credential.c2pa"/></x:xmpmeta>'
    )
    data = photo()
    data = data[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + data[2:]
    check = named(examined(tmp_path, data), "provenance")
    assert check.state == "incomplete"
    assert ("Points to", "https://example.org/credential.c2pa") in check.facts


def test_none_says_nothing(tmp_path: Path) -> None:
    check = named(examined(tmp_path, photo()), "provenance")
    assert check.state == "none" and "says nothing" in check.sentence


@pytest.mark.parametrize(
    ("source", "trusted", "code", "level"),
    [
        ("trainedAlgorithmicMedia", True, "declared_generated", Level.STRONG),
        ("trainedAlgorithmicMedia", False, "stated_generated", Level.MODERATE),
        ("compositeWithTrainedAlgorithmicMedia", True, "declared_composite", Level.MODERATE),
    ],
)
def test_a_declared_generator_reaches_the_verdict(
    tmp_path: Path, signer: Signer, source: str, trusted: bool, code: str, level: Level
) -> None:
    path = tmp_path / "generated.jpg"
    path.write_bytes(signed(signer, source))
    (tmp_path / "trust.pem").write_bytes(signer.root)
    settings = read_settings(trust_list=tmp_path / "trust.pem" if trusted else None)
    analysis = analyze(path, model="tiny", settings=settings)
    assert analysis.verdict.level is level
    assert [each.code for each in analysis.verdict.reasons] == [code]
    assert analysis.findings[-1].detector == "declared"
    assert "Not measured" in analysis.findings[-1].error_rate
    assert "trust.pem" not in str(analysis.settings)
