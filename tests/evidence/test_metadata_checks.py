"""What the metadata say, and what of it does not fit together."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from signed_maker import photo

from fakelab import analyze
from fakelab.evidence import examine
from fakelab.media import Limits
from fakelab.records import Check, Level
from media_maker import make_video

MAKE, MODEL, SOFTWARE, CHANGED = 0x010F, 0x0110, 0x0131, 0x0132
TAKEN, WIDTH, HEIGHT, COMMENT = 0x9003, 0xA002, 0xA003, 0x9286


def checked(path: Path, name: str = "metadata") -> Check:
    return next(each for each in examine(path, Limits()).checks if each.name == name)


def with_exif(path: Path, tags: dict[int, Any] | None = None, inner: dict[int, Any] | None = None, **gps: Any) -> Path:
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    exif.get_ifd(0x8769).update(inner or {})
    if gps:
        exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.53), 3: "E", 4: (13.0, 24.0, 36.27)})
    with Image.open(io.BytesIO(photo())) as image:
        image.save(path, exif=exif, quality=92)
    return path


def with_thumbnail(path: Path, picture: bytes, thumbnail: bytes) -> Path:
    """A JPEG whose EXIF holds an IFD1 with a thumbnail: written by hand, as Pillow writes none."""
    orientation = b"".join(each.to_bytes(size, "little") for each, size in ((0x0112, 2), (3, 2), (1, 4), (1, 4)))
    rows = b"".join(
        tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, value in ((513, 8 + 18 + 30), (514, len(thumbnail)))
    )
    first = (1).to_bytes(2, "little") + orientation + (8 + 18).to_bytes(4, "little")
    second = (2).to_bytes(2, "little") + rows + (0).to_bytes(4, "little")
    exif = b"Exif\0\0" + b"II*\0" + (8).to_bytes(4, "little") + first + second + thumbnail
    path.write_bytes(picture[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + picture[2:])
    return path


def test_camera_software_and_times_are_facts(tmp_path: Path) -> None:
    path = with_exif(
        tmp_path / "a.jpg",
        {MAKE: "Canon", MODEL: "EOS R5", CHANGED: "2024:05:01 10:00:00"},
        {TAKEN: "2024:05:01 10:00:00", WIDTH: 128, HEIGHT: 128},
    )
    check = checked(path)
    facts = dict(check.facts)
    assert facts["Camera"] == "Canon EOS R5"
    assert facts["Time, taken"] == "2024-05-01 10:00:00"
    assert check.state == "noted" and not check.contradictions


def test_a_missing_camera_is_a_note_and_no_contradiction(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    check = checked(tmp_path / "a.jpg")
    assert not check.contradictions and "says nothing by itself" in check.sentence


def test_the_place_is_never_told(tmp_path: Path) -> None:
    analysis = analyze(with_exif(tmp_path / "a.jpg", {MAKE: "Canon"}, located=True), model="tiny")
    check = next(each for each in analysis.evidence if each.name == "metadata")
    assert dict(check.facts)["Location"] == "the file holds a position (not shown here)"
    from fakelab.reports.json_report import write_json

    told = write_json(analysis)
    assert "12.53" not in told and "36.27" not in told


@pytest.mark.parametrize(
    ("tags", "inner", "words"),
    [
        ({SOFTWARE: "Adobe Photoshop 25.0 (Windows)"}, {}, "editing software: Adobe Photoshop 25.0"),
        ({CHANGED: "2020:01:01 00:00:00"}, {TAKEN: "2024:05:01 10:00:00"}, "before it was taken"),
        ({}, {TAKEN: "2924:05:01 10:00:00"}, "lies in the future"),
        ({}, {TAKEN: "1904:01:01 00:00:00"}, "before digital cameras"),
        ({}, {WIDTH: 4000, HEIGHT: 3000}, "4000 × 3000 pixels, the picture has 128 × 128: it was cropped"),
        ({}, {WIDTH: 4000, HEIGHT: 4000}, "it was scaled"),
    ],
)
def test_contradictions_in_words(tmp_path: Path, tags: dict[int, Any], inner: dict[int, Any], words: str) -> None:
    check = checked(with_exif(tmp_path / "a.jpg", tags, inner))
    assert check.state == "contradictions"
    assert len(check.contradictions) == 1 and words in check.contradictions[0]


def test_a_thumbnail_of_another_picture_is_a_contradiction(tmp_path: Path) -> None:
    own = with_thumbnail(tmp_path / "own.jpg", photo(1), photo(1, 64, quality=70))
    other = with_thumbnail(tmp_path / "other.jpg", photo(1), photo(2, 64, quality=70))
    assert dict(checked(own).facts)["Embedded thumbnail"] == "yes"
    assert not checked(own).contradictions
    assert "shows something else" in checked(other).contradictions[0]


def test_video_tags_and_times(tmp_path: Path) -> None:
    check = checked(make_video(tmp_path / "a.mp4", 20))
    facts = dict(check.facts)
    assert "Lavf" in facts["Written by"] and "moov" in facts["Order of the parts"]
    assert "written by FFmpeg" in check.sentence and not check.contradictions
    assert [each.name for each in examine(tmp_path / "a.mp4", Limits()).checks] == [
        "provenance",
        "generator_traces",
        "metadata",
    ]


PARAMETERS = "a portrait\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
WORKFLOW = json.dumps({"3": {"class_type": "KSampler", "inputs": {}}})


@pytest.mark.parametrize(
    ("options", "gop", "keys", "order"),
    [
        ({"x264-params": "scenecut=0:bframes=0"}, 10, "every 10 frames", "in the order shown"),
        ({"x264-params": "scenecut=0:bframes=2:b-adapt=0"}, 10, "every 10 frames", "not in the order shown (B-frames)"),
        ({"x264-params": "scenecut=0:bframes=0"}, 1, "every frame", "in the order shown"),
        ({"x264-params": "scenecut=0:bframes=0"}, 90, "only the first of 50 frames", "in the order shown"),
    ],
)
def test_how_the_frames_of_a_video_are_coded(
    tmp_path: Path, options: dict[str, str], gop: int, keys: str, order: str
) -> None:
    path = make_video(tmp_path / "a.mp4", gop=gop, options=options)
    facts = dict(checked(path).facts)
    assert (facts["Key frames"], facts["Frames are stored"]) == (keys, order)


@pytest.mark.parametrize(
    ("key", "value", "tool"),
    [
        ("parameters", PARAMETERS, "Stable Diffusion"),
        ("prompt", WORKFLOW, "ComfyUI"),
        ("Description", "a cat Job ID: 0b6a9d6c-1111-2222-3333-444455556666", "Midjourney"),
        ("Software", "NovelAI", "NovelAI"),
        ("invokeai_metadata", "{}", "InvokeAI"),
    ],
)
def test_generators_in_png_text(tmp_path: Path, key: str, value: str, tool: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(key, value, zip=True)
    Image.open(io.BytesIO(photo())).save(tmp_path / "a.png", pnginfo=info)
    check = checked(tmp_path / "a.png", "generator_traces")
    assert check.state == "found" and tool in check.sentence


@pytest.mark.parametrize(
    ("field", "state"),
    [
        ("Iptc4xmpExt:DigitalSourceType", "found"),
        ("Iptc4xmpExt:AISystemUsed", "found"),
        ("dc:title", "none_found"),
    ],
)
def test_generators_in_xmp(tmp_path: Path, field: str, state: str) -> None:
    value = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    xmp = f"<x:xmpmeta><rdf:RDF><rdf:Description><{field}>{value}</{field}></rdf:Description></rdf:RDF></x:xmpmeta>"
    Image.open(io.BytesIO(photo())).save(tmp_path / "a.jpg", xmp=xmp.encode())
    assert checked(tmp_path / "a.jpg", "generator_traces").state == state


@pytest.mark.parametrize(
    "caption",
    [
        "OpenAI chief Sam Altman speaks in Paris, the firm behind ChatGPT said",
        "A protest against Midjourney and Stability AI outside the court",
        "Statement made by lawyers for OpenAI in Brussels",
        "Statement made by OpenAI in Brussels",
        "Officials warn of AI-generated images before the vote",
        "A Firefly 8SE action camera on a helmet",
    ],
)
def test_a_caption_that_speaks_of_a_generator_is_no_statement(tmp_path: Path, caption: str) -> None:
    path = with_exif(tmp_path / "a.jpg", {0x010E: caption})
    check = checked(path, "generator_traces")
    assert check.state in ("noted", "none_found")
    assert not examine(path, Limits()).statements


@pytest.mark.parametrize(
    ("caption", "tool"),
    [
        ("A cat on Mars, made with Midjourney.", "Midjourney"),
        ("Illustration generated by DALL-E 3", "DALL-E"),
        ("Made with Google AI", "Google AI"),
        ("AI-generated image of a flood", "a generator (AI)"),
    ],
)
def test_a_caption_that_says_how_it_was_made_is_one(tmp_path: Path, caption: str, tool: str) -> None:
    check = checked(with_exif(tmp_path / "a.jpg", {0x010E: caption}), "generator_traces")
    assert check.state == "found" and tool in check.sentence


def test_a_description_of_a_video_is_no_statement(tmp_path: Path) -> None:
    import av

    make_video(tmp_path / "a.mp4", frames=10)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        target.metadata["description"] = "We tried ChatGPT and Stable Diffusion on the street"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    check = checked(tmp_path / "b.mp4", "generator_traces")
    assert check.state == "noted" and "without saying" in check.sentence


def test_a_source_type_as_a_resource_is_read(tmp_path: Path) -> None:
    packet = (
        '<x:xmpmeta><rdf:Description><Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/'
        'digitalsourcetype/trainedAlgorithmicMedia"/></rdf:Description></x:xmpmeta>'
    )
    (tmp_path / "a.jpg").write_bytes(photo(xmp=packet.encode()))
    assert checked(tmp_path / "a.jpg", "generator_traces").state == "found"


def test_an_unsigned_trace_is_moderate_evidence_at_most(tmp_path: Path) -> None:
    analysis = analyze(with_exif(tmp_path / "a.jpg", {SOFTWARE: "Midjourney v6"}), model="tiny")
    assert analysis.verdict.level is Level.MODERATE
    assert "not signed" in analysis.verdict.reasons[0].text


def test_a_plain_photo_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    assert len(analyze(tmp_path / "a.jpg", model="tiny").findings) == 1
