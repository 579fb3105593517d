from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("sklearn", reason="the extra 'train' is not installed")

from fakelab.cli import main
from fakelab.data.manifest import Row
from fakelab.errors import TrainingError
from fakelab.models.card import read_card
from fakelab.models.lips import RATE, together
from fakelab.training.lips import Talker, fit_maps, talkers_of, thresholds_of, write_lips
from sound_maker import silence, speech_like
from talk_maker import talk, talking_video

FACTS = {
    "name": "drawn", "version": "0", "summary": "", "task": "", "training": {}, "data": (), "weak_spots": (),
    "licence": "",
}  # fmt: skip


def talkers(count: int, seconds: float = 6.0) -> list[Talker]:
    rows = [Row(Path(f"{n}.mp4"), "fake" if n % 4 == 0 else "real", f"source{n}", f"p{n}") for n in range(count)]
    return [Talker(row, (talk(seconds, seed),), 120.0, seed) for seed, row in enumerate(rows)]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lips")
    write_lips(talkers(24), folder, dict(FACTS))
    return folder / "card.json"


def test_maps_learnt_from_some_tell_by_how_much_the_sound_of_another_is_late(card: Path) -> None:
    model = fit_maps(talkers(16), read_card(card))
    for late_s in (0.0, 0.2, -0.2):
        score, shift = together(model.curve([talk(8.0, 99, late_s)]))
        assert abs(shift - late_s * RATE) <= 1 and score > 0.2
    pictures, _ = talk(8.0, 99)
    _, strange = talk(8.0, 77)
    assert together(model.curve([(pictures, strange)]))[0] < together(model.curve([talk(8.0, 99)]))[0]


def test_the_card_tells_what_sources_left_out_score(card: Path) -> None:
    made = read_card(card)
    assert made.metrics["genuine"]["clips"] == 18 and made.metrics["generated"]["clips"] == 6
    assert float(made.metrics["genuine"]["auc"].split()[0]) > 0.85
    lines = made.thresholds["video"]
    assert 0 < lines["apart"] <= lines["together"]
    assert "18 genuine clips of 18 sources" in lines["error_rates"]["all"]


def test_lines_stand_where_the_stated_shares_lie() -> None:
    from fakelab.training.lips import LeftOut

    own, others = np.linspace(0.1, 0.9, 101), np.linspace(0.0, 0.4, 606).reshape(101, 6)
    found = LeftOut(own, np.zeros(101, np.int64), others, np.zeros(101, bool), np.array(["a"] * 101))
    lines = thresholds_of(found)
    assert (others >= lines["together"]).mean() == pytest.approx(0.05, abs=0.01)
    assert (own < lines["apart"]).mean() == pytest.approx(0.05, abs=0.01)


def test_the_command_learns_from_films_lists_what_it_cannot_use_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for number in (0, 1, 2, 4, 5, 6):
        talking_video(tmp_path / f"{number}.mp4", speech_like(5.0, number))
        rows.append((f"{number}.mp4", "real", f"s{number}", f"p{number}"))
    talking_video(tmp_path / "mute.mp4", silence(5.0))
    (tmp_path / "words.mp4").write_text("no film")
    rows += [("mute.mp4", "real", "s7", "p7"), ("words.mp4", "real", "s8", "p8")]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "source", "group"), *rows])
    out = tmp_path / "run"
    assert main(["train-lips", str(tmp_path / "list.csv"), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "6 genuine clips: AUC" in said.out and "2 clips could not be used" in said.err
    skipped = (out / "found" / "skipped.csv").read_text()
    assert "mute.mp4" in skipped and "words.mp4" in skipped
    first = (out / "model" / "maps.safetensors").read_bytes()

    def not_again(*_: object, **__: object) -> None:
        raise AssertionError("a clip that was looked at is looked at again")

    monkeypatch.setattr("fakelab.training.lips.mouths_in", not_again)
    (tmp_path / "words.mp4").unlink()
    (tmp_path / "list.csv").write_text("path,label,source,group\n" + "\n".join(",".join(row) for row in rows[:6]))
    assert main(["train-lips", str(tmp_path / "list.csv"), "--out", str(out)]) == 0
    assert (out / "model" / "maps.safetensors").read_bytes() == first


def test_clips_of_too_few_sources_are_refused(tmp_path: Path) -> None:
    talking_video(tmp_path / "a.mp4", speech_like(4.0))
    with pytest.raises(TrainingError, match="too little to learn lips from"):
        talkers_of([Row(tmp_path / "a.mp4", "real", "s", "p")], tmp_path / "found")
