"""`fakelab evaluate` and `fakelab calibrate`, with the tiny model and a folder of its own."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import sound_maker as sound
from fakelab import analyze
from fakelab.cli import main
from fakelab.data.duplicates import face_hash
from fakelab.models.card import WEIGHTS, read_card
from media_maker import make_video

cv2 = pytest.importorskip("cv2")
data = pytest.importorskip("skimage.data")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of three photos: a genuine one, a brighter copy called fake, and one that cannot be read."""
    picture = np.asarray(data.astronaut())[:, :, ::-1]
    cv2.imwrite(str(tmp_path / "a.jpg"), picture)
    cv2.imwrite(str(tmp_path / "b.jpg"), np.clip(picture * 1.2, 0, 255))
    (tmp_path / "c.jpg").write_text("words")
    path = tmp_path / "list.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "source", "group", "forgery"))
        writer.writerows(
            [("a.jpg", "real", "s", "1", ""), ("b.jpg", "fake", "s", "2", "x"), ("c.jpg", "fake", "s", "3", "x")]
        )
    return path


def test_every_file_has_a_line_and_the_unreadable_one_is_counted(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    assert main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3
    assert rows[2]["p_fake"] is None and rows[2]["error"]
    assert rows[0]["logit"] is not None
    assert "not analysable 1 of 3" in capsys.readouterr().out


def test_a_run_that_was_cut_off_goes_on(listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    whole = out.read_text(encoding="utf-8").splitlines()
    out.write_text(whole[0] + "\n", encoding="utf-8")
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    again = out.read_text(encoding="utf-8").splitlines()
    assert again[0] == whole[0]
    assert [json.loads(line)["path"] for line in again] == [json.loads(line)["path"] for line in whole]


def test_several_at_a_time_give_the_same_and_a_line_cut_off_is_done_again(listed: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    main(["evaluate", str(listed), "--out", str(one), "--model", "tiny"])
    main(["evaluate", str(listed), "--out", str(two), "--model", "tiny", "--jobs", "2"])
    rows = [[json.loads(line) for line in each.read_text(encoding="utf-8").splitlines()] for each in (one, two)]
    for row in (*rows[0], *rows[1]):
        row.pop("seconds", None)
    assert rows[0] == rows[1]
    assert rows[0][0]["made_by"].startswith("tiny ") and len(rows[0][0]["faces"]) == 1
    two.write_bytes(two.read_bytes()[:-20])
    main(["evaluate", str(listed), "--out", str(two), "--model", "tiny"])
    assert len(two.read_text(encoding="utf-8").splitlines()) == 3


def test_results_of_two_models_are_not_mixed(listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results.jsonl"
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    lines = out.read_text(encoding="utf-8").splitlines()
    other = json.loads(lines[0]) | {"made_by": "other 1.0 0123456789ab, finder yunet"}
    out.write_text(json.dumps(other) + "\n", encoding="utf-8")
    assert main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"]) == 2
    assert "holds other results" in capsys.readouterr().err
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1


def test_a_list_with_a_wrong_label_is_refused_with_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,label,source,group\na.jpg,maybe,s,1\n", encoding="utf-8")
    assert main(["evaluate", str(path), "--out", str(tmp_path / "o"), "--model", "tiny"]) == 2
    assert "row 2" in capsys.readouterr().err


def test_calibration_is_written_into_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS / "tiny", folder)
    rng = np.random.default_rng(0)
    results = tmp_path / "results.jsonl"
    rows = [
        {"label": label, "source": f"s{i % 6}", "logit": float(rng.normal() + shift), "people": 1}
        for i in range(60)
        for label, shift in (("real", -1.0), ("fake", 2.0))
    ]
    results.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert main(["calibrate", str(folder), "--video", str(results)]) == 0
    card = read_card(folder / "card.json")
    assert card.calibration["video"]["reals"] == 60
    assert 0 < card.thresholds["video"]["moderate"] <= card.thresholds["video"]["strong"] < 1
    assert "6 sources" in card.thresholds["video"]["error_rates"]["all"]
    assert card.thresholds["photo"] == read_card(WEIGHTS / "tiny" / "card.json").thresholds["photo"]
    assert "slope" in capsys.readouterr().out


def test_nothing_to_calibrate_on_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "--video" in capsys.readouterr().err


def test_a_report_is_written_beside_its_results(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "report"
    assert main(["evaluate", str(listed), "--report", str(folder), "--model", "tiny", "--by", "group"]) == 0
    assert {each.name for each in folder.iterdir()} == {"results.jsonl", "report.html", "report.md", "numbers.json"}
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "## By group" in text and "| c.jpg | fake | x |" in text
    assert str(folder / "report.html") in capsys.readouterr().out


def test_the_voice_alone_is_measured_and_a_photo_has_none(listed: Path, tmp_path: Path) -> None:
    spoken = sound.save(tmp_path / "said.wav", sound.speech_like(6.0))
    both = tmp_path / "both.csv"
    both.write_text(f"path,label,source,group\n{spoken.name},real,s,1\na.jpg,real,s,2\n", encoding="utf-8")
    out = tmp_path / "voice.jsonl"
    assert main(["evaluate", str(both), "--out", str(out), "--model", "tiny", "--detector", "voice"]) == 0
    heard, seen = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    analysis = analyze(spoken, model="tiny")
    logits = [each.logit for each in analysis.findings[0].windows if each.logit is not None]
    assert heard["logit"] == pytest.approx(np.mean(logits)) and heard["p_fake"] == analysis.findings[0].p_fake
    assert heard["made_by"].endswith("detector voice")
    assert seen["p_fake"] is None and seen["reasons"] == ["no_detector"]


def test_a_list_may_mix_clips_with_and_without_sound_photos_and_recordings(tmp_path: Path) -> None:
    """Whether a clip has sound decides which models run, and is no reason to refuse the clip's neighbour."""
    make_video(tmp_path / "silent.mp4", 12)
    make_video(tmp_path / "sound.mp4", 12, sound_s=0.5)
    sound.save(tmp_path / "said.wav", sound.speech_like(5.0))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.asarray(data.astronaut())[:, :, ::-1])
    rows = [f"{name},real,s,{name}" for name in ("silent.mp4", "sound.mp4", "said.wav", "a.jpg")]
    (tmp_path / "mixed.csv").write_text("\n".join(["path,label,source,group", *rows]), encoding="utf-8")
    out = tmp_path / "mixed.jsonl"
    assert main(["evaluate", str(tmp_path / "mixed.csv"), "--out", str(out), "--model", "tiny"]) == 0
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [each["detector"] for each in found] == ["face_video", "face_video", "voice", "face_photo"]
    assert found[0]["made_by"] == found[1]["made_by"] and found[2]["made_by"].startswith("voice ")


def test_a_detector_that_does_not_exist_is_refused_with_the_known_ones(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(listed), "--out", str(tmp_path / "o"), "--detector", "voices"]) == 2
    assert "voice" in capsys.readouterr().err


def test_a_leak_planted_in_a_list_is_refused_before_anything_is_analysed(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaking = listed.with_name("leaks.csv")
    leaking.write_text("path,label,source,group,split\na.jpg,real,s,1,train\nb.jpg,fake,s,1,test\n", encoding="utf-8")
    out = tmp_path / "o.jsonl"
    assert main(["evaluate", str(leaking), "--out", str(out), "--model", "tiny", "--split", "test"]) == 2
    assert "group '1' of s is in train and in test" in capsys.readouterr().err
    assert not out.exists()


def test_one_split_is_measured_alone(listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = listed.with_name("split.csv")
    split.write_text("path,label,source,group,split\na.jpg,real,s,1,train\nb.jpg,fake,s,2,test\n", encoding="utf-8")
    out = tmp_path / "o.jsonl"
    assert main(["evaluate", str(split), "--out", str(out), "--model", "tiny", "--split", "test"]) == 0
    assert [json.loads(line)["split"] for line in out.read_text(encoding="utf-8").splitlines()] == ["test"]
    assert main(["evaluate", str(split), "--out", str(out), "--model", "tiny", "--split", "val"]) == 2
    assert "no file in 'val'" in capsys.readouterr().err
    assert main(["evaluate", str(split), "--out", str(out), "--model", "tiny", "--split", "tset"]) == 2
    assert "Did you mean 'test'" in capsys.readouterr().err


def test_files_that_a_model_was_trained_on_are_told(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = listed.with_name("split.csv")
    split.write_text("path,label,source,group,split\na.jpg,real,s,1,train\nb.jpg,fake,s,2,test\n", encoding="utf-8")
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS / "tiny", folder)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["training"]["manifest_sha256"] = hashlib.sha256(split.read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    words = ["evaluate", str(split), "--report", str(tmp_path / "r"), "--model", str(folder)]
    assert main(words) == 0
    assert "was trained on 1 of these files" in capsys.readouterr().err
    assert "These numbers flatter" in (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert main([*words, "--split", "test"]) == 0
    assert "flatter" not in capsys.readouterr().err


def known_face(picture: Path, target: Path) -> Path:
    """The hash of a picture's face, as a run leaves those of what it was trained on."""
    crop = analyze(picture, model="tiny").findings[0].people[0].faces[0].crop
    assert crop is not None
    np.save(target, face_hash(crop)[None])
    return target


def test_files_that_show_faces_of_training_are_told_whatever_their_name_and_compression(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = known_face(tmp_path / "a.jpg", tmp_path / "known.npy")
    out = tmp_path / "results.jsonl"
    assert main(["evaluate", str(listed), "--out", str(out), "--model", "tiny", "--known", str(known)]) == 0
    bits = [json.loads(line)["known_bits"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert bits[0] == 0
    assert 0 <= bits[1] <= 48, "the brighter copy"
    assert bits[2] is None, "what cannot be read has no face"
    assert "2 of these files show faces that the model was trained on" in capsys.readouterr().out
    stranger = np.asarray(data.astronaut())[::-1, :, ::-1]
    other = tmp_path / "other.npy"
    np.save(other, face_hash(np.ascontiguousarray(stranger))[None])
    main(["evaluate", str(listed), "--out", str(tmp_path / "b.jsonl"), "--model", "tiny", "--known", str(other)])
    assert "trained on" not in capsys.readouterr().out


def test_results_with_and_without_known_faces_are_not_mixed(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, out = known_face(tmp_path / "a.jpg", tmp_path / "known.npy"), str(tmp_path / "results.jsonl")
    assert main(["evaluate", str(listed), "--out", out, "--model", "tiny"]) == 0
    assert main(["evaluate", str(listed), "--out", out, "--model", "tiny", "--known", str(known)]) == 2
    assert "made without --known" in capsys.readouterr().err
    assert main(["evaluate", str(listed), "--out", out, "--model", "tiny", "--known", str(listed)]) == 2
    assert "holds no known faces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--out FILE, --report FOLDER"),
        (["--out", "o", "--compare", "x"], "Give --report FOLDER"),
        (["--report", "r", "--by", "forgry"], "Did you mean 'forgery'"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(
    words: list[str], said: str, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(listed), "--model", "tiny", *words]) == 2
    assert said in capsys.readouterr().err


def test_two_models_are_compared_on_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    names = [(f"{label}{number}.mp4", label) for number in range(12) for label in ("real", "fake")]
    listed = tmp_path / "list.csv"
    listed.write_text(
        "path,label,source,group\n" + "".join(f"{n},{label},s,{n}\n" for n, label in names), encoding="utf-8"
    )
    for model, gap in (("good", 3.0), ("poor", 0.0)):
        with (tmp_path / f"{model}.jsonl").open("w", encoding="utf-8") as file:
            for name, label in names:
                logit = float(rng.normal() + gap * (label == "fake"))
                row = {"path": str(tmp_path / name), "label": label, "source": "s", "group": name, "forgery": ""}
                row |= {"p_fake": 1 / (1 + float(np.exp(-logit))), "logit": logit, "level": "inconclusive"}
                row |= {"reasons": ["unsure"], "measured": {}, "made_by": f"{model} 1 abc", "kind": "video"}
                file.write(json.dumps(row) + "\n")
    words = ["evaluate", str(listed), "--model", "tiny", "--out", str(tmp_path / "good.jsonl")]
    assert main([*words, "--report", str(tmp_path / "r"), "--compare", str(tmp_path / "poor.jsonl")]) == 0
    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert "AUC of this evaluation (good 1 abc)" in text and "AUC of the other (poor 1 abc)" in text
    found = json.loads((tmp_path / "r" / "numbers.json").read_text(encoding="utf-8"))["comparison"]
    assert found["difference"]["low"] > 0 and found["left_out"] == 0
    assert main([*words, "--report", str(tmp_path / "r"), "--compare", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
