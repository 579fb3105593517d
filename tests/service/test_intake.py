"""Files that come in: known ones are answered, names are cleaned, a folder is watched, engines outlive what they do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import sound_maker as sound
from fakelab.analyze import model_row
from fakelab.errors import (
    EnvironmentBrokenError,
    FakeLabError,
    TooManyError,
    UnknownNameError,
    UnsupportedMediaError,
    UsageError,
)
from fakelab.media.download import NotWantedError
from fakelab.service.copies import prune_orphans
from fakelab.service.engine import Engine, Order, StoppedError
from fakelab.service.history import History
from fakelab.service.intake import Intake, clean_name, shown_name
from fakelab.service.jobs import Asked, Job, Jobs
from fakelab.service.recipe import recipe_of_document, recipe_of_settings
from fakelab.service.watch import Watch
from fakelab.service.work import Workshop
from fakelab.settings import changed, read_settings
from portrait_maker import portrait


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(portrait()).save(path)
    return path


@pytest.fixture
def intake(sqlite_history: History) -> Intake:
    return Intake(sqlite_history, read_settings(model="tiny", data_dir=sqlite_history.folder), lambda job: None)


@pytest.fixture
def workshop(sqlite_history: History) -> Iterator[Workshop]:
    made = Workshop(sqlite_history, read_settings(model="tiny", data_dir=sqlite_history.folder), worker="w")
    yield made
    made.close()


def _asked(path: Path, **more: Any) -> Asked:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Asked(**{"name": path.name, "owner": "d", "actor": "a", "acquired": "upload", "sha256": digest, **more})


def _copy(path: Path, name: str) -> Path:
    copy = path.with_name(name)
    copy.write_bytes(path.read_bytes())
    return copy


def test_a_file_is_taken_done_and_then_known(intake: Intake, workshop: Workshop, picture: Path) -> None:
    taken = intake.take(_asked(picture), _copy(picture, "spool"))
    assert taken.fresh and not taken.known
    under_way = intake.take(_asked(picture), _copy(picture, "spool"))
    assert under_way.id == taken.id and not under_way.fresh
    assert workshop.analyse(taken.id, 1) == "done"
    known = intake.take(_asked(picture), _copy(picture, "spool"))
    assert known.known and known.id == taken.id
    assert not (picture.parent / "spool").exists(), "a file that is known is not kept a second time"
    assert intake.take(_asked(picture, owner="others"), _copy(picture, "spool")).fresh
    assert intake.take(_asked(picture, choices={"prior": 0.1}), _copy(picture, "spool")).fresh


def test_the_recipe_foretold_is_the_one_of_the_document(intake: Intake, workshop: Workshop, picture: Path) -> None:
    taken = intake.take(_asked(picture, choices={"finder": "dlib", "prior": 0.25}), _copy(picture, "spool"))
    assert workshop.analyse(taken.id, 1) == "done"
    document = intake.history.document(taken.id)
    settings = changed(intake.settings, finder="dlib", prior=0.25)
    assert recipe_of_document(document) == recipe_of_settings(document["file"]["sha256"], settings) != ""


def test_a_recording_that_its_owner_has_an_answer_for_is_answered(
    intake: Intake, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = sound.save(tmp_path / "a.wav", sound.speech_like(3.0))
    taken = intake.take(_asked(recording), _copy(recording, "spool"))
    assert workshop.analyse(taken.id, 1) == "done"
    assert [each["name"] for each in intake.history.document(taken.id)["models"]] == ["voice"]
    known = intake.take(_asked(recording), _copy(recording, "spool"))
    assert known.known and known.id == taken.id
    # Another model of voices under the same name is another question.
    newer = model_row("voice") | {"sha256": "0" * 64}
    monkeypatch.setattr("fakelab.service.recipe._row", lambda name: newer if name == "voice" else model_row(name))
    assert intake.take(_asked(recording), _copy(recording, "spool")).fresh


def test_every_model_asked_is_part_of_the_recipe_and_older_records_have_one() -> None:
    def settings(**more: Any) -> dict[str, Any]:
        return {"model": "tiny", "voice": True, "voice_model": "voice", **more}

    def of(given: dict[str, Any], *models: dict[str, str]) -> str:
        versions = {"fakelab": "0.1.0"}
        return recipe_of_document({"file": {"sha256": "ab"}, "settings": given, "models": models, "versions": versions})

    face, voice = model_row("tiny"), model_row("voice")
    both = of(settings(), face, voice)
    assert both == of(settings(), face) == of(settings(), voice), "a file that needs one of them only"
    for changes in ({"sha256": "0" * 64}, {"version": "0"}):
        assert both != of(settings(), face, voice | changes)
        assert both != of(settings(), face | changes, voice)
    unheard = of(settings(voice=False), face)
    assert unheard == of(settings(voice=False), face, voice | {"sha256": "0" * 64})
    assert of({"model": "tiny", "prior": 0.5}, face) not in ("", both), "made before there were models of voices"
    assert of(settings(model="gone"), voice) == of({}) == ""


def test_doing_a_step_twice_leaves_one_result(intake: Intake, workshop: Workshop, picture: Path) -> None:
    taken = intake.take(_asked(picture), _copy(picture, "spool"))
    # As when the process was killed between writing the run and marking the job.
    keep = workshop._keep
    times = 0

    def keep_and_die(job: Job, answer: Any) -> None:
        nonlocal times
        keep(job, answer)
        times += 1
        if times == 1:
            raise KeyboardInterrupt

    workshop._keep = keep_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        workshop.analyse(taken.id, 1)
    assert Jobs(intake.history).get(taken.id).state == "running"
    assert workshop.analyse(taken.id, 1) == "done"
    assert [each.id for each in intake.history.every()] == [taken.id]
    assert [each.action for each in intake.history.events(taken.id)].count("created") == 1


def test_a_file_that_was_altered_after_it_came_in_is_refused(intake: Intake, workshop: Workshop, picture: Path) -> None:
    taken = intake.take(_asked(picture), _copy(picture, "spool"))
    place = Path(Jobs(intake.history).get(taken.id).place)
    with place.open("ab") as file:
        file.write(b"x")
    assert workshop.analyse(taken.id, 1) == "failed"
    assert "altered after it came in" in Jobs(intake.history).get(taken.id).error["what"]


def test_the_machines_fault_is_not_the_files(intake: Intake, workshop: Workshop, picture: Path) -> None:
    taken = intake.take(_asked(picture), _copy(picture, "spool"))
    answer = workshop._answer

    def disk_is_full(job: Job) -> Any:
        raise EnvironmentBrokenError("the disk is full")

    workshop._answer = disk_is_full  # type: ignore[method-assign]
    with pytest.raises(EnvironmentBrokenError):
        workshop.analyse(taken.id, 1)
    assert Jobs(intake.history).get(taken.id).state == "running"
    workshop._answer = answer  # type: ignore[method-assign]
    assert workshop.analyse(taken.id, 1) == "done"
    assert workshop.analyse(taken.id, 1) == "done", "what was finished before a kill is told again, and not done again"


def test_a_failed_file_is_tried_again_beside_its_record(intake: Intake, workshop: Workshop, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all " * 50)
    taken = intake.take(_asked(broken, choices={"prior": 0.1}, webhook="http://127.0.0.1/hook"), broken)
    with pytest.raises(UsageError, match="it is waiting"):
        intake.retry(intake.jobs.get(taken.id), actor="b")
    assert workshop.analyse(taken.id, 1) == "failed"
    first, record = intake.jobs.get(taken.id), intake.history.get(taken.id)
    again = intake.retry(first, actor="b")
    job = intake.jobs.get(again.id)
    assert again.id != taken.id and job.repeats == taken.id and job.actor == "b"
    kept = ("owner", "acquired", "name", "size_bytes", "sha256", "choices", "webhook", "recipe")
    assert [getattr(job, each) for each in kept] == [getattr(first, each) for each in kept]
    assert intake.retry(first, actor="b").id == again.id, "what is under way is not begun twice"
    assert [each.id for each in intake.jobs.repeating(taken.id, owner="d")] == [again.id]
    assert intake.jobs.repeating(taken.id, owner="another") == []
    assert intake.history.get(taken.id) == record and intake.jobs.get(taken.id) == first
    intake.history.delete(taken.id, actor="a")
    assert Path(job.place).is_file(), "each has a file of its own"
    assert workshop.analyse(again.id, 1) == "failed"
    Path(job.place).unlink()
    with pytest.raises(UsageError, match="no longer stored"):
        intake.retry(intake.jobs.get(again.id), actor="b")


def test_a_file_that_was_mended_where_it_lies_is_tried_again_as_it_is_now(
    intake: Intake, workshop: Workshop, picture: Path
) -> None:
    whole = picture.read_bytes()
    picture.write_bytes(b"no picture at all")
    (taken,) = intake.take_path(picture, owner="d", actor="a", choices={})
    assert workshop.analyse(taken.id, 1) == "failed"
    picture.write_bytes(whole)
    again = intake.retry(intake.jobs.get(taken.id), actor="a")
    assert workshop.analyse(again.id, 1) == "done"
    assert intake.history.get(again.id).sha256 == hashlib.sha256(whole).hexdigest()
    assert intake.history.get(again.id).place == str(picture)


def _slow_download(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    """Stands in for the downloader: it asks at once whether the file is still wanted, and once more `meanwhile`."""

    def download(url: str, folder: Path, name: str, *, wanted: Any, **limits: Any) -> Path:
        (folder / f"{name}.mp4.part").write_bytes(b"half of it")
        assert wanted()
        meanwhile()
        if not wanted():
            raise NotWantedError("the download was stopped")
        raise AssertionError("still wanted")

    monkeypatch.setattr("fakelab.media.download.download", download)


def test_a_download_ends_with_its_analysis_that_is_cancelled(
    intake: Intake, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = intake.take_link(Asked("", "d", "a", "url", url="https://a.example/clip.mp4"))
    _slow_download(monkeypatch, lambda: intake.jobs.cancel(taken.id, actor="a"))
    assert workshop.analyse(taken.id, 1) == "cancelled"
    assert intake.jobs.get(taken.id).state == "cancelled"
    assert not intake.history.media_of(taken.id).exists()


def test_a_download_of_an_earlier_round_ends_too(
    intake: Intake, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = intake.take_link(Asked("", "d", "a", "url", url="https://a.example/clip.mp4"))

    def put_back() -> None:
        intake.jobs.cancel(taken.id, actor="a")
        intake.jobs.again(taken.id, actor="a")

    _slow_download(monkeypatch, put_back)
    assert workshop.analyse(taken.id, 1) == "cancelled"
    assert intake.jobs.get(taken.id).state == "waiting"


def test_a_server_that_stops_ends_its_downloads_and_begins_them_anew(
    intake: Intake, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = intake.take_link(Asked("", "d", "a", "url", url="https://a.example/clip.mp4"))
    _slow_download(monkeypatch, workshop.close)
    with pytest.raises(StoppedError):
        workshop.analyse(taken.id, 1)
    assert intake.jobs.get(taken.id).open


def test_choices_are_those_that_are_offered(intake: Intake, picture: Path) -> None:
    for choices in ({"memory_mb": 1}, {"model": "nosuch"}, {"model": str(picture.parent)}, {"finder": "x"}):
        with pytest.raises(UnknownNameError):
            intake.take(_asked(picture, choices=choices), picture)
    with pytest.raises(UsageError):
        intake.take(_asked(picture, choices={"prior": 1.5}), picture)
    assert picture.exists()


def test_a_full_queue_takes_nothing_and_loses_nothing(intake: Intake, picture: Path) -> None:
    intake.settings = intake.settings.model_copy(update={"queue_limit": 1})
    intake.take(_asked(picture), _copy(picture, "spool"))
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(TooManyError) as told:
        intake.take(_asked(other), other)
    assert told.value.retry_after_s > 0 and other.exists()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.mp4", "a.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\clips\\a.mp4", "a.mp4"),
        ("a\nb\x00\u202e.jpg", "a_b__.jpg"),
        ("..", "file"),
        ("", "file"),
        (".hidden", "hidden"),
        ("名前.mov", "名前.mov"),
    ],
)
def test_names_are_cleaned_for_the_disk(name: str, kept: str) -> None:
    assert clean_name(name) == kept


def test_long_names_keep_their_ending_and_whole_letters() -> None:
    name = clean_name("é" * 400 + ".mp4")
    assert name.endswith(".mp4") and len(name.encode()) <= 200
    assert shown_name("x/" + "y" * 300) == "y" * 255


def test_a_watched_folder_gives_each_whole_file_once(intake: Intake, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    watch = Watch(folder, intake, intake.history.folder)
    (folder / "sub" / "a.png").write_bytes(picture.read_bytes())
    (folder / "b.png.part").write_bytes(b"x")
    (folder / ".c.png").write_bytes(b"x")
    os.symlink(picture, folder / "link.png")
    assert watch.look() == 0, "it may still be growing"
    assert watch.look() == 1
    assert watch.look() == 0
    job = Jobs(intake.history).recent(owner="local")[0]
    assert job.acquired == "watch folder" and job.place == str(folder / "sub" / "a.png")
    again = Watch(folder, intake, intake.history.folder)
    assert [again.look() for _ in range(3)] == [0, 0, 0], "what was taken is remembered"
    (folder / "sub" / "a.png").write_bytes(picture.read_bytes() + b"changed")
    assert [again.look() for _ in range(2)] == [0, 1]


def test_files_that_nothing_belongs_to_are_taken_away_after_a_day(intake: Intake, picture: Path) -> None:
    taken = intake.take(_asked(picture), _copy(picture, "spool"))
    left = intake.history.media_of("0123456789abcdef")
    left.mkdir(parents=True)
    assert prune_orphans(intake.history) == 0
    assert prune_orphans(intake.history, older_than_s=-1) == 1
    assert not left.exists() and intake.history.media_of(taken.id).exists()


class TestEngine:
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        made = Engine()
        yield made
        made.close()

    @staticmethod
    def _order(path: Path) -> Order:
        return Order(str(path), "shown.png", choices={"model": "tiny"})

    def test_an_answer_bears_the_name_that_people_know(self, engine: Engine, picture: Path) -> None:
        steps: list[str] = []

        def tell(stage: str, done: int, total: int | None) -> bool:
            steps.append(stage)
            return True

        answer = engine.ask(self._order(picture), tell)
        assert answer is not None
        assert answer.document["file"]["name"] == answer.document["file"]["path"] == "shown.png"
        assert str(picture.parent) not in str(answer.document)
        assert "poster.jpg" in answer.files and answer.phash and "open" in steps

    def test_errors_come_through_and_the_engine_lives_on(self, engine: Engine, picture: Path) -> None:
        text = picture.with_name("text.png")
        text.write_text("no picture")
        with pytest.raises(UnsupportedMediaError):
            engine.ask(self._order(text), lambda *_: True)
        process = engine._process
        assert engine.ask(self._order(picture), lambda *_: True) is not None
        assert engine._process is process

    def test_nobody_wants_it_any_more(self, engine: Engine, picture: Path) -> None:
        assert engine.ask(self._order(picture), lambda *_: False) is None
        assert engine.ask(self._order(picture), lambda *_: True) is not None

    def test_a_lost_process_is_an_error_and_the_next_order_has_a_new_one(self, engine: Engine, picture: Path) -> None:
        def kill(*_: object) -> bool:
            assert engine._process is not None
            engine._process.kill()
            return True

        with pytest.raises(FakeLabError, match="ended"):
            engine.ask(self._order(picture), kill)
        assert engine.ask(self._order(picture), lambda *_: True) is not None

    def test_an_order_that_broke_off_leaves_no_answer_for_the_next(self, engine: Engine, picture: Path) -> None:
        other = picture.with_name("other.png")
        Image.fromarray(portrait()[:, ::-1].copy()).save(other)

        def database_is_busy(*_: object) -> bool:
            raise EnvironmentBrokenError("the history does not answer")

        with pytest.raises(EnvironmentBrokenError):
            engine.ask(self._order(picture), database_is_busy)
        answer = engine.ask(self._order(other), lambda *_: True)
        assert answer is not None
        assert answer.document["file"]["sha256"] == hashlib.sha256(other.read_bytes()).hexdigest()

    def test_a_stopped_engine_gives_no_outcome(self, engine: Engine, picture: Path) -> None:
        def stop(*_: object) -> bool:
            engine.stop()
            return True

        with pytest.raises(StoppedError):
            engine.ask(self._order(picture), stop)
        with pytest.raises(StoppedError):
            engine.ask(self._order(picture), lambda *_: True)
