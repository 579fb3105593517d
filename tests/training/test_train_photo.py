from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("torch", reason="the extra 'train' is not installed")

from fakelab.cli import main
from fakelab.data.manifest import Row
from fakelab.detectors.generated_photo import combined
from fakelab.errors import ModelError, TrainingError
from fakelab.evaluation.metrics import auc
from fakelab.media.views import views_of
from fakelab.models.card import WEIGHTS, read_card
from fakelab.models.pictures import TokenModel, open_pictures
from fakelab.models.runtime import load_model
from fakelab.models.tokens import FILE, PART, WHOLE, read_heads
from fakelab.records import Crop
from fakelab.training.photo import (
    NAMES,
    Head,
    check_enough,
    fit_head,
    left_out,
    view_tokens,
    weights_of,
    write_head,
)
from fakelab.training.ship import TOWER_FILE

FACTS = {
    "name": "drawn", "version": "0", "summary": "", "task": "", "training": {}, "data": (), "weak_spots": (),
    "licence": "",
}  # fmt: skip


def drawn(seed: int) -> np.ndarray:
    """A picture unlike others: patches of colour, smooth, with a little grain."""
    rng = np.random.default_rng(seed)
    base = Pillow.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)).resize(
        (224, 224), int(rng.integers(0, 4))
    )
    return np.clip(np.asarray(base) + rng.normal(0, 4, (224, 224, 3)), 0, 255).astype(np.uint8)


def rows_of(sources: int, generators: int, each: int) -> list[Row]:
    real = [
        Row(Path(f"r{s}-{n}.png"), "real", f"camera{s}", f"r:camera{s}") for s in range(sources) for n in range(each)
    ]
    fake = [
        Row(Path(f"f{g}-{n}.png"), "fake", f"lab{g}", f"f:lab{g}", forgery=f"gan{g}")
        for g in range(generators)
        for n in range(each)
    ]
    return real + fake


def test_a_head_finds_what_parts_the_classes_and_weighs_classes_alike() -> None:
    rng = np.random.default_rng(0)
    fake = np.arange(400) < 40
    features = rng.normal(size=(400, 12)) * 3 + 5
    features[:, 4] += 6.0 * fake
    rows = [Row(Path(f"{n}.png"), "fake" if f else "real", f"s{n % 7}{f}", f"g{n}") for n, f in enumerate(fake)]
    head = fit_head(features, fake, weights_of(rows), 0.01)
    assert int(np.argmax(np.abs(head.weight))) == 4
    logits = head(features)
    # Alike, though one class has nine times the pictures: the middle between the classes is at 0.
    assert abs(np.median(logits[fake]) + np.median(logits[~fake])) < 2.0
    assert (logits[fake] > 0).mean() > 0.7 and (logits[~fake] < 0).mean() > 0.7


def test_weights_give_classes_the_same_and_large_sources_less_a_picture() -> None:
    rows = rows_of(4, 4, 3) + [Row(Path(f"more{n}.png"), "real", "camera0", "g") for n in range(22)]
    weights = weights_of(rows)
    fake = np.array([row.fake for row in rows])
    assert weights[fake].sum() == pytest.approx(weights[~fake].sum())
    assert weights[0] == pytest.approx(weights[3] * np.sqrt(3 / 25))


def test_what_one_generator_alone_shows_is_worth_nothing_once_it_is_left_out() -> None:
    """Each generator and each camera has a mark of its own: a head that knew them would answer without a fault."""
    rng = np.random.default_rng(1)
    rows = rows_of(16, 16, 6)
    features = rng.normal(size=(len(rows), 40))
    features[np.arange(len(rows)), np.arange(len(rows)) // 6] += 8.0
    fake = np.array([row.fake for row in rows])
    known = fit_head(features, fake, weights_of(rows), 0.1)(features)
    assert auc(known, fake) > 0.97
    logits = left_out(features, rows, ridge=0.1)
    assert 0.2 < auc(logits, fake) < 0.8
    assert np.isfinite(logits).all()


def test_a_common_trace_carries_over_to_generators_left_out() -> None:
    rng = np.random.default_rng(2)
    rows = rows_of(16, 16, 6)
    fake = np.array([row.fake for row in rows])
    features = rng.normal(size=(len(rows), 40))
    features[fake, 7] += 3.0
    logits = left_out(features, rows, ridge=0.1)
    assert auc(logits, fake) > 0.9


@pytest.mark.parametrize("tie", ["source", "family"])
def test_pictures_that_share_a_source_or_family_with_a_judged_one_are_left_out_too(tie: str) -> None:
    """Genuine pictures beside a generator's own, marked alike, must not teach what its laboratory's files look like."""
    rng = np.random.default_rng(3)
    beside = [
        Row(Path(f"beside{g}-{n}.png"), "real", f"lab{g}" if tie == "source" else f"elsewhere{g}", f"f{g}")
        for g in range(16)
        for n in range(4)
    ]
    rows = rows_of(16, 16, 6) + beside
    lab = [
        int(row.path.stem.lstrip("fbrside").split("-")[0]) if not row.source.startswith("cam") else -1 for row in rows
    ]
    if tie == "family":
        rows = [row if n < 0 else row.with_column("family", f"lab{n}") for row, n in zip(rows, lab, strict=True)]
    fake = np.array([row.fake for row in rows])
    features = rng.normal(size=(len(rows), 40)) * 0.1
    for at, number in enumerate(lab):
        if number >= 0:
            features[at, number] += 8.0
    logits = left_out(features, rows, ridge=0.01)
    # Had the laboratory's generated files been known, its mark would have said "generated" of its genuine ones.
    mine = np.array(lab) >= 0
    assert np.median(logits[fake]) == pytest.approx(np.median(logits[mine & ~fake]), abs=10.0)
    if tie == "family":
        rows = [dataclasses.replace(row, more=()) for row in rows]
        known = left_out(features, rows, ridge=0.01)
        assert np.median(known[mine & ~fake]) > np.median(logits[mine & ~fake]) + 20


def test_the_same_word_for_groups_of_different_sources_ties_nothing() -> None:
    rows = [dataclasses.replace(row, group=str(at % 6)) for at, row in enumerate(rows_of(8, 8, 6))]
    assert np.isfinite(left_out(np.random.default_rng(0).normal(size=(len(rows), 5)), rows)).all()


def test_too_few_and_too_narrow_lists_are_refused_with_the_count() -> None:
    with pytest.raises(TrainingError, match="4 genuine photos of 4 sources"):
        check_enough(rows_of(4, 4, 1))
    with pytest.raises(TrainingError, match="30 generated pictures of 2 generators"):
        check_enough(rows_of(8, 2, 15))
    one_place = [Row(row.path, row.label, "album", "g", forgery=row.forgery) for row in rows_of(8, 8, 6)]
    with pytest.raises(TrainingError, match="held back"):
        left_out(np.zeros((len(one_place), 3)), one_place)


def pictures(folder: Path, count: int) -> list[tuple[str, str, str, str, str]]:
    """Small genuine-looking noise, and 'generated' pictures with a checker of their generator's up-sampling."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(count):
        base = rng.integers(40, 200, (9, 9, 3)).astype(np.uint8)
        picture = np.asarray(Pillow.fromarray(base).resize((256, 240), Pillow.Resampling.BICUBIC)).astype(np.int16)
        picture += rng.normal(0, 6, picture.shape).astype(np.int16)
        fake = number % 2 == 1
        if fake:
            picture[::2, ::2] += 50
        Pillow.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        name = f"{'lab' if fake else 'camera'}{number % 10}"
        rows.append((f"{number}.png", "fake" if fake else "real", name, name, f"gan{number % 10}" if fake else ""))
    return rows


def test_the_command_makes_a_model_that_an_analysis_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pictures(tmp_path, 50)
    (tmp_path / "words.png").write_text("no picture")
    rows.append(("words.png", "real", "camera0", "camera0", ""))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "source", "group", "forgery"), *rows])
    out = tmp_path / "run"
    assert main(["train-photo", str(tmp_path / "list.csv"), "--out", str(out), "--trusted"]) == 0
    said = capsys.readouterr()
    assert "left_out: 25 genuine and 25 generated photos: AUC" in said.out
    assert "left_out, copies: 25 genuine and 25 generated photos: AUC" in said.out
    assert "1 photos could not be used" in said.err and "words.png" in (out / "views" / "skipped.csv").read_text()
    card = read_card(out / "model" / "card.json")
    assert card.metrics["left_out"]["real"] == 25 and card.metrics["left_out"]["fake"] == 25
    assert card.thresholds["photo"]["strong"] > 1.0, "experimental: moderate evidence at most"
    assert "(25 files and a degraded copy of each)" in card.thresholds["photo"]["error_rates"]["all"]
    assert card.training["photos"] == 50 and card.training["copies"] == 50
    scored = [json.loads(line) for line in (out / "left_out.jsonl").read_text().splitlines()]
    assert len(scored) == 100 and {each["forgery"] for each in scored if each["label"] == "fake"} == {
        f"gan{n}" for n in (1, 3, 5, 7, 9)
    }
    code = main(
        ["analyze", str(tmp_path / "1.png"), "--generated", "--picture-model", str(out / "model"), "--format", "json"]
    )
    found = json.loads(capsys.readouterr().out)
    finding = next(each for each in found["findings"] if each["detector"] == "generated_photo")
    assert code == 0 and finding["model"] == str(out / "model") and finding["p_fake"] is not None


def test_heads_are_the_same_whether_pictures_or_features_are_more() -> None:
    rng = np.random.default_rng(6)
    fake = np.arange(30) % 3 == 0
    features = rng.normal(size=(30, 12))
    features[fake, 2] += 2.0
    weights = np.full(30, 1 / 30)
    narrow = fit_head(features, fake, weights, 0.2)
    # Columns said twice, each with half of the weight, are the same features; now they are more than the pictures.
    wide = fit_head(np.tile(features, 3), fake, weights, 0.2)
    assert wide(np.tile(features, 3)) == pytest.approx(narrow(features), abs=1e-6)


def test_a_longer_list_costs_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, kept = np.stack([drawn(seed) for seed in range(4)]), tmp_path / "tokens.npz"
    first = view_tokens(views[:3], kept)
    told: list[tuple[int, int]] = []
    again = view_tokens(views, kept, lambda done, total: told.append((done, total)))
    assert told == [(4, 4)] and np.array_equal(again[:3], first) and first.shape == (3, len(NAMES), 768)
    monkeypatch.setattr("fakelab.training.photo._tower", lambda: pytest.fail("all of them are known"))
    assert np.array_equal(view_tokens(views[::-1], kept), again[::-1])
    monkeypatch.setattr("fakelab.training.photo._made_by", lambda: "another tower")
    with pytest.raises(pytest.fail.Exception):
        view_tokens(views, kept)
    kept.write_bytes(b"damaged")
    monkeypatch.undo()
    assert np.array_equal(view_tokens(views[:1], kept), again[:1])


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_an_analysis_scores_as_the_head_did(parts: int, tmp_path: Path) -> None:
    pictures = [views_of(np.kron(drawn(seed), np.ones((3, 3, 1), np.uint8)), 224, parts) for seed in range(4)]
    tokens = [view_tokens(np.stack(each), tmp_path / "tokens.npz") for each in pictures]
    at = {name: number for number, name in enumerate(NAMES)}
    features = np.stack(
        [
            np.concatenate(
                [each[0, [at[n] for n in WHOLE]], np.mean(each[1:] if parts else each, 0)[[at[n] for n in PART]]]
            ).ravel()
            for each in tokens
        ]
    ).astype(np.float32)
    head = fit_head(features, np.array([True, False, True, False]), np.full(4, 0.25), 0.1)
    card = write_head(head, tmp_path / "model", dict(FACTS))
    heads = read_heads(tmp_path / "model" / FILE)
    model = open_pictures("drawn", card, WEIGHTS / TOWER_FILE, heads, 1)
    logits = [combined(model.score([Crop(v, 1) for v in views])[0].tolist()) for views in pictures]
    # Tokens are kept in 16 bits.
    assert logits == pytest.approx(head(features), abs=0.2)
    assert [loaded_by_name(tmp_path / "model").score([Crop(pictures[0][0], 1)])[0][0]] == pytest.approx(
        [model.score_one(Crop(pictures[0][0], 1))[0]]
    )


def loaded_by_name(folder: Path) -> TokenModel:
    model = load_model(str(folder), threads=1)
    assert isinstance(model, TokenModel)
    return model


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"whole.norm.out": np.zeros(5, np.float32)}, "no head of 768"),
        ({"whole.blocks.77.result": np.zeros(768, np.float32)}, "blocks.77"),
        ({"elsewhere.norm.out": np.zeros(768, np.float32)}, "elsewhere"),
        ({"bias": None}, "no bias"),
        ({"bias": np.full(1, np.nan, np.float32)}, "finite"),
        ({"whole.norm.out": np.zeros(768, np.int64)}, "32 bits"),
        ({f"part.{name}": None for name in PART}, "the whole or the part"),
    ],
)
def test_heads_that_do_not_fit_are_a_model_error(spoilt: dict[str, Any], words: str, tmp_path: Path) -> None:
    card = write_head(Head(np.zeros(768 * (len(WHOLE) + len(PART))), 0.0), tmp_path, dict(FACTS))
    heads = {key: value for key, value in (read_heads(tmp_path / FILE) | spoilt).items() if value is not None}
    with pytest.raises(ModelError, match=words):
        open_pictures("drawn", card, WEIGHTS / TOWER_FILE, heads, 1)
    other = dataclasses.replace(card, crop=dataclasses.replace(card.crop, size_px=336))
    with pytest.raises(ModelError, match="336 px"):
        open_pictures("drawn", other, WEIGHTS / TOWER_FILE, read_heads(tmp_path / FILE), 1)
    (tmp_path / FILE).write_bytes(b"no heads")
    with pytest.raises(ModelError, match="cannot be read"):
        read_heads(tmp_path / FILE)
