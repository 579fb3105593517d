from __future__ import annotations

from pathlib import Path
from typing import Any

import lab_maker as lab
import numpy as np
import pytest
from numpy.typing import NDArray

from fakelab.data.store import open_store
from fakelab.errors import TrainingError, UnknownNameError
from fakelab.records import Image
from fakelab.training import augment, pairs
from fakelab.training.augment import AUGMENTS
from fakelab.training.blend import Mask

SIZE = 64
ALL_KINDS = dict.fromkeys(pairs.KINDS, 1.0)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an augmentation that changes nothing."""
    monkeypatch.setitem(AUGMENTS, "plain", lambda crop, mask, rng: (crop, mask))
    return "plain"


def population(splits: tuple[str, ...] = ("train", "val", "test"), count: int = 12) -> list[lab.Row]:
    return [row for split in splits for row in lab.people(split, count, each=2, fakes=1)]


def twins_of(rows: list[int], folder: Path, *, done: int | None = None, store: str | None = None) -> Path:
    """Twins whose value is their row + 100."""
    folder.mkdir()
    flat = np.array(rows, np.uint8) + 100
    np.save(folder / "twins.npy", np.broadcast_to(flat[:, None, None, None], (len(rows), SIZE, SIZE, 3)))
    np.save(folder / "rows.npy", np.array(rows))
    (folder / "done.txt").write_text(str(len(rows) if done is None else done))
    if store is not None:
        (folder / "store.txt").write_text(store)
    return folder


def told_row(image: Image) -> int:
    assert len(np.unique(image)) == 1
    return int(image[0, 0, 0])


def test_a_self_blended_fake_comes_from_the_row_of_its_real(plain: str) -> None:
    rows = population()
    source = lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), augment=plain)
    for number in range(60):
        kind, real, fake, _ = source.pair(number)
        row = told_row(real)
        assert kind == "self"
        assert not rows[row].fake
        # Blended from flat copies of one crop, each treated by no more than a few tens of levels.
        assert np.abs(fake.astype(int) - row).max() < 60
    assert len({told_row(source.pair(number)[1]) for number in range(200)}) > 18


def test_a_forgery_that_the_data_brought_is_paired_with_a_real_of_the_same_person(plain: str) -> None:
    rows = population()
    source = lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), augment=plain, kinds={"given": 1.0})
    seen = set()
    for number in range(60):
        kind, real, fake, _ = source.pair(number)
        one, other = rows[told_row(real)], rows[told_row(fake)]
        assert (kind, one.fake, other.fake) == ("given", False, True)
        assert (one.source, one.group) == (other.source, other.group)
        seen.add(other.group)
    assert len(seen) > 8


def test_people_of_two_sources_with_one_name_are_two_people(plain: str) -> None:
    rows = [
        *lab.people("train", 12, source="a", each=1, fakes=1),
        *lab.people("train", 12, source="b", each=1, fakes=1),
    ]
    source = lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), augment=plain, kinds={"given": 1.0})
    for number in range(60):
        _, real, fake, _ = source.pair(number)
        assert rows[told_row(real)].source == rows[told_row(fake)].source


def test_a_twin_is_of_the_row_that_it_is_paired_with_and_only_finished_ones_are_used(
    plain: str, tmp_path: Path
) -> None:
    rows = population()
    reals = [at for at, row in enumerate(rows) if not row.fake]
    shuffled = [int(each) for each in np.random.default_rng(5).permutation(reals)]
    twins = twins_of(shuffled, tmp_path / "twins", done=20, store="of a manifest")
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))
    source = lab.pair_source(store, twins=twins, augment=plain, kinds={"twin_whole": 1.0, "twin_blend": 1.0})
    finished = {at for at in shuffled[:20] if rows[at].split == "train"}
    kinds = set()
    for number in range(60):
        kind, real, fake, (_, mask) = source.pair(number)
        row = told_row(real)
        kinds.add(kind)
        assert row in finished
        if kind == "twin_whole":
            assert told_row(fake) == row + 100
            assert (mask == 1).all()
        else:
            assert set(np.unique(fake[mask == 0])) <= {row}
            assert set(np.unique(fake[mask == 1])) <= {row + 100}
            assert fake.max() > row + 50
    assert kinds == {"twin_whole", "twin_blend"}


def test_twins_of_another_store_are_refused(tmp_path: Path) -> None:
    rows = population()
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))
    twins = twins_of([0, 3], tmp_path / "twins", store="another manifest's")
    with pytest.raises(TrainingError, match="another store"):
        lab.pair_source(store, twins=twins)


def test_a_folder_without_twins_is_refused(tmp_path: Path) -> None:
    rows = population()
    with pytest.raises(TrainingError, match="holds no twins"):
        lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), twins=tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_pairs_of_one_split_read_no_row_of_another(split: str, tmp_path: Path) -> None:
    rows = population(count=24)
    crops = lab.Watched(lab.faces(len(rows) // 36, SIZE).repeat(36, 0))
    twins = twins_of([at for at, row in enumerate(rows) if not row.fake], tmp_path / "twins")
    source = lab.pair_source(lab.make_store(rows, crops), split, twins=twins, kinds=ALL_KINDS)
    assert set(source.kinds) == set(pairs.KINDS)
    seen = {source.pair(number)[0] for number in range(150)}
    assert seen == set(pairs.KINDS)
    assert len(crops.read) > 40
    assert {rows[at].split for at in crops.read} == {split}


def test_an_unclear_crop_is_never_drawn_as_a_real(plain: str) -> None:
    rows = population()
    crops = lab.Watched(lab.numbered(len(rows), SIZE))
    store = lab.make_store(rows, crops)
    bad = {0: store.score, 3: store.blur, 6: store.luma}
    for at, measure in bad.items():
        measure[at] = 0.1
    source = lab.pair_source(store, augment=plain)
    for number in range(150):
        source.pair(number)
    assert crops.read
    assert not crops.read & set(bad)


def test_a_pair_depends_on_the_seed_and_its_number_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "video_codec", lab.told_codec)
    rows = population(count=24)
    twins = twins_of([at for at, row in enumerate(rows) if not row.fake], tmp_path / "twins")
    crops = lab.faces(len(rows) // 36, SIZE).repeat(36, 0)

    def source(seed: int) -> pairs.PairSource:
        return lab.pair_source(lab.make_store(rows, crops), twins=twins, kinds=ALL_KINDS, seed=seed)

    def flat(pair: pairs.Pair) -> tuple[Any, ...]:
        kind, real, fake, masks = pair
        return kind, real.tobytes(), fake.tobytes(), *(each.tobytes() for each in masks)

    in_order, other = source(0), source(1)
    ordered = [flat(in_order.pair(number)) for number in range(16)]
    backwards = source(0)
    assert [flat(backwards.pair(number)) for number in reversed(range(16))][::-1] == ordered
    assert len(set(ordered)) == 16
    assert all(flat(other.pair(number)) != ordered[number] for number in range(16))


def test_the_mask_of_a_real_is_zero_and_that_of_a_fake_is_not() -> None:
    rows = population()
    source = lab.pair_source(
        lab.make_store(rows, lab.faces(len(rows), SIZE)), kinds={"self": 1, "cross": 1, "given": 1}
    )
    for number in range(24):
        _, real, fake, (real_mask, fake_mask) = source.pair(number)
        assert real.shape == fake.shape == (SIZE, SIZE, 3)
        assert real.dtype == fake.dtype == np.uint8
        assert real_mask.shape == fake_mask.shape == (SIZE, SIZE)
        assert not real_mask.any()
        assert fake_mask.max() > 0.1


def test_both_classes_go_through_the_same_augmentation_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Image] = []

    def spied(crop: Image, mask: Mask, rng: np.random.Generator) -> tuple[Image, Mask]:
        calls.append(crop)
        return 255 - crop, mask

    monkeypatch.setitem(AUGMENTS, "spied", spied)
    rows = population()
    source = lab.pair_source(lab.make_store(rows, lab.faces(len(rows), SIZE)), augment="spied")
    for number in range(10):
        calls.clear()
        _, real, fake, _ = source.pair(number)
        assert len(calls) == 2
        assert np.array_equal(real, 255 - calls[0])
        assert np.array_equal(fake, 255 - calls[1])


def test_compression_says_nothing_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """With forgeries that change nothing, real and fake lose as much, and pass through as many codecs."""
    codecs: list[str] = []
    photo, video = augment.photo_codec, augment.video_codec
    monkeypatch.setattr(augment, "photo_codec", lambda *a, **k: codecs.append("photo") or photo(*a, **k))
    monkeypatch.setattr(augment, "video_codec", lambda *a, **k: codecs.append("video") or video(*a, **k))
    monkeypatch.setattr(pairs, "self_blend", lambda crop, points, mesh, rng: (crop, np.ones((SIZE, SIZE), np.float32)))
    used: dict[str, list[int]] = {"real": [], "fake": []}

    def counted(crop: Image, mask: Mask, rng: np.random.Generator) -> tuple[Image, Mask]:
        before = len(codecs)
        out = augment.default(crop, mask, rng)
        used["fake" if mask.any() else "real"].append(len(codecs) - before)
        return out

    monkeypatch.setitem(AUGMENTS, "counted", counted)
    rows = lab.people("train", 30)
    source = lab.pair_source(lab.make_store(rows, lab.faces(1, SIZE).repeat(30, 0)), augment="counted")

    def detail(image: Image) -> float:
        return float(np.abs(np.diff(image.astype(float), axis=0)).mean())

    details = np.array([[detail(real), detail(fake)] for _, real, fake, _ in map(source.pair, range(90))])
    assert len(used["real"]) == len(used["fake"]) == 90
    assert min(map(np.mean, used.values())) > 0.7
    assert np.mean(used["real"]) == pytest.approx(np.mean(used["fake"]), abs=0.15)
    assert details[:, 0].mean() == pytest.approx(details[:, 1].mean(), rel=0.1)
    assert not np.array_equal(details[:, 0], details[:, 1]), "by one law, but each with its own draw"


def test_kinds_without_data_are_dropped() -> None:
    rows = lab.people("train", 12)
    source = lab.pair_source(lab.make_store(rows, lab.numbered(12, SIZE)), kinds=ALL_KINDS)
    assert source.kinds == ["self"]
    assert source.kind_shares.tolist() == [1.0]
    more = [*rows, *lab.people("train", 12, source="b", fakes=1)]
    source = lab.pair_source(lab.make_store(more, lab.numbered(len(more), SIZE)), kinds=ALL_KINDS)
    assert source.kinds == ["self", "cross", "given"]
    assert source.kind_shares == pytest.approx([1 / 3] * 3)


def test_kinds_are_drawn_in_their_shares(plain: str) -> None:
    rows = population()
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))
    source = lab.pair_source(store, kinds={"self": 3.0, "given": 1.0, "cross": 0.0}, augment=plain)
    kinds = [source.pair(number)[0] for number in range(400)]
    assert set(kinds) == {"self", "given"}
    assert 70 < kinds.count("given") < 130


def test_no_kind_that_can_be_made_is_an_error() -> None:
    rows = lab.people("train", 12)
    with pytest.raises(TrainingError, match="no kind of forgery"):
        lab.pair_source(lab.make_store(rows, lab.numbered(12, SIZE)), kinds={"given": 1.0})


def test_one_person_alone_gives_no_cross_blend() -> None:
    rows = [lab.Row(False, "camera", "she", "train")] * 30
    source = lab.pair_source(lab.make_store(rows, lab.numbered(30, SIZE)), kinds={"self": 1.0, "cross": 1.0})
    assert source.kinds == ["self"]


def test_a_cross_blend_takes_its_face_from_another_person(monkeypatch: pytest.MonkeyPatch, plain: str) -> None:
    rows = [*lab.people("train", 2, each=20), *lab.people("val", 5, each=4)]
    others: list[int] = []

    def spied(base: Image, points: Any, mesh: Any, other: Image, *rest: Any) -> tuple[Image, NDArray[np.float32]]:
        others.append(told_row(other))
        return base, np.ones((SIZE, SIZE), np.float32)

    monkeypatch.setattr(pairs, "cross_blend", spied)
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))
    source = lab.pair_source(store, kinds={"cross": 1.0}, augment=plain)
    for number in range(40):
        _, real, _, _ = source.pair(number)
        assert rows[others[-1]].group != rows[told_row(real)].group
        assert rows[others[-1]].split == "train"
    assert len(others) == 40


def test_sources_are_drawn_in_the_stated_shares(plain: str) -> None:
    rows = [
        *lab.people("train", 50, source="a"),
        *lab.people("train", 5, source="b"),
        *lab.people("train", 5, source="c"),
    ]
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))

    def drawn(sources: dict[str, float]) -> list[str]:
        source = lab.pair_source(store, sources=sources, augment=plain)
        return [rows[told_row(source.pair(number)[1])].source for number in range(300)]

    stated = drawn({"a": 1.0, "b": 3.0})
    assert set(stated) == {"a", "b"}
    assert 195 < stated.count("b") < 255
    by_root = drawn({})
    assert 140 < by_root.count("a") < 215, "the square root of 50 against twice that of 5"


@pytest.mark.parametrize("sources", [{"camra": 1.0}, {"camera": 1.0, "camra": 0.5}])
def test_an_unknown_source_answers_with_the_known_ones_and_the_nearest(sources: dict[str, float]) -> None:
    rows = [*lab.people("train", 12), *lab.people("train", 3, source="phone")]
    with pytest.raises(UnknownNameError, match=r"no source is called 'camra'.*'camera'.*Known: camera, phone"):
        lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), sources=sources)


def test_a_choice_that_leaves_no_source_is_an_error() -> None:
    rows = [*lab.people("train", 12), *lab.people("val", 3, source="phone")]
    with pytest.raises(TrainingError, match="no source of real faces is left"):
        lab.pair_source(lab.make_store(rows, lab.numbered(len(rows), SIZE)), sources={"phone": 1.0})


def test_a_store_without_clear_real_faces_to_train_on_is_an_error_but_none_for_val_is_not() -> None:
    rows = lab.people("train", 12)
    store = lab.make_store(rows, lab.numbered(12, SIZE))
    assert not lab.pair_source(store, "val").usable
    store.score[:] = 0.2
    with pytest.raises(TrainingError, match="nothing to train on"):
        lab.pair_source(store)


def test_the_stores_of_these_tests_have_the_form_of_real_ones(tmp_path: Path) -> None:
    kept = lab.make_store(lab.people("train", 3), lab.numbered(3, 32))
    opened = open_store(lab.save_store(kept, tmp_path))
    assert np.array_equal(opened.crops, kept.crops)
    assert opened.sha256 == kept.sha256
