"""`analyze(path) -> Analysis`: probe, choose the recipe, collect findings, decide. The product is this one function."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from fakelab.errors import UsageError
from fakelab.records import Analysis, Check, Finding, Kind, Level, MediaInfo, ModelCard, Progress
from fakelab.settings import Settings, read_settings

if TYPE_CHECKING:
    from fakelab.media import Density, Limits, Media
    from fakelab.models.runtime import FaceModel
    from fakelab.models.voice import VoiceModel

T = TypeVar("T")

LIBRARIES = ("c2pa-python", "numpy", "opencv-python-headless", "av", "pillow", "onnxruntime", "scipy")
"""What can change a number, and is therefore written into every record."""

KEPT_BACK = (
    *("data_dir", "database", "history", "keep_faces", "host", "port", "hosts", "jobs", "queue_limit"),
    *("upload_mb", "rate", "retention_days", "trust_list", "watch", "webhooks"),
    *("oidc_issuer", "oidc_client", "oidc_secret", "oidc_role"),
)
"""Settings that are about this machine, not about the answer."""


def analyze(
    path: str | Path,
    *,
    model: str | None = None,
    voice_model: str | None = None,
    picture_model: str | None = None,
    finder: str | None = None,
    thorough: bool | None = None,
    every_s: float | None = None,
    prior: float | None = None,
    stability: bool | None = None,
    generated: bool | None = None,
    lip_sync: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """The answer for one video, photo or recording: verdict, findings, and all that is needed to repeat it.

    `model`, `voice_model`, `picture_model` and `finder` are names of tables, a model may be a folder with a card, too;
    `thorough` looks every 2 s of a video, `every_s` as often as it says; `prior` is the share of manipulated files
    expected among those analysed (default .5), which moves `p_fake` and never the level; `stability` asks again on
    degraded faces, and a verdict that flips is inconclusive; `generated` judges whether a whole photo was generated;
    `lip_sync` compares lips with the sound of a video, a check that stands in no verdict. What is
    not given comes from `settings`, or from the environment and the defaults.

    Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError for the file, UnknownNameError and
    UsageError for the choices, ModelError and EnvironmentBrokenError for the installation.
    """
    chosen = _chosen(
        settings,
        model=model,
        voice_model=voice_model,
        picture_model=picture_model,
        finder=finder,
        thorough=thorough,
        every_s=every_s,
        prior=prior,
        stability=stability,
        generated=generated,
        lip_sync=lip_sync,
    )
    tell = progress or (lambda stage, done, total: None)
    started, clock, timings = datetime.now(UTC), time.perf_counter(), dict[str, float]()

    from fakelab.evidence import SEED, Examination
    from fakelab.faces.find import finder_called
    from fakelab.media import Limits, begin_media
    from fakelab.models.card import MODELS, PICTURES, VOICES, model_folder

    # Wrong names are told before a long file is read.
    model_folder(chosen.model, MODELS)
    model_folder(chosen.voice_model, VOICES)
    model_folder(chosen.picture_model, PICTURES)
    finder_called(chosen.finder)
    limits = Limits(memory_mb=chosen.memory_mb, cpu_s=chosen.cpu_s, wall_s=chosen.wall_s, pixels=chosen.pixels)
    anchors = _anchors(chosen)
    tell("open", 0, None)
    # The child processes first, then what they, the model's thread and this one can do side by side.
    with (
        begin_media(path, limits, threads=chosen.threads or 2) as opening,
        Examination(path, limits, anchors, opening.digest) as examination,
        _Loading(opening.kind, chosen) as loading,
    ):
        from fakelab.media import Media

        media = Media(opening)
        timings["open_s"] = time.perf_counter() - clock
        tell("model", 0, None)
        face = loading.face(media.info)
        findings = () if face is None else _find(media, face, loading, chosen, tell)
        models = loading.models()
        timings["model_s"] = max(0.0, loading.ended - clock - timings["open_s"])
        evidence = examination.result()
        warnings = media.warnings
        info = dataclasses.replace(media.info, phash=tuple(media.phash))
    if models.voice is not None:
        heard, unheard = _listen(info, models.voice, chosen, limits, tell)
        findings, warnings = (*findings, heard), (*warnings, *unheard)
    checks, cards = evidence.checks, [each.card for each in models if each is not None]
    if chosen.lip_sync and info.kind is Kind.VIDEO and info.audio_codec is not None:
        lips, card = _compare_lips(info, findings, chosen, limits, tell)
        checks, cards = (*checks, lips), [*cards, card]
    findings = findings or (_nothing_asked(),)
    timings["total_s"] = time.perf_counter() - clock
    timings["analysis_s"] = timings["total_s"] - timings["open_s"] - timings["model_s"]
    tell("done", 1, 1)

    from fakelab.verdict import declared, verdict_of

    prior_odds = chosen.prior or 0.5
    findings = (*findings, *(declared(each.code, each.detail, prior_odds) for each in evidence.statements))
    return Analysis(
        file=info,
        verdict=verdict_of(findings),
        findings=findings,
        models=tuple(_row_of(card) for card in cards),
        started=started,
        timings=timings,
        settings=shown_settings(chosen),
        versions=versions(),
        warnings=tuple(warnings),
        evidence=checks,
        seed=SEED,
    )


def _chosen(settings: Settings | None, **given: Any) -> Settings:
    flags = {name: value for name, value in given.items() if value is not None}
    if settings is None:
        return read_settings(**flags)
    # Not through the environment again: these settings are resolved.
    return settings.model_copy(update=read_settings(**flags).model_dump(include=set(flags))) if flags else settings


def _anchors(settings: Settings) -> str:
    """The certificate authorities whose credentials count as trusted, as PEM. Raises UsageError."""
    if settings.trust_list is None:
        return ""
    try:
        return settings.trust_list.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise UsageError(
            "the list of trusted issuers cannot be read", error.strerror or "read error", "Check FAKELAB_TRUST_LIST."
        ) from error


def _find(media: Media, model: FaceModel, loading: _Loading, settings: Settings, tell: Progress) -> tuple[Finding, ...]:
    """The findings of the recipes for this kind of file, about what is seen."""
    from fakelab.detectors.face_video import FaceOptions, detect_faces_in_video

    options = FaceOptions(settings.finder, _density(settings), settings.prior or 0.5, settings.stability)
    match media.info.kind:
        case Kind.VIDEO:
            return (detect_faces_in_video(media, model, options, tell),)
        case Kind.PHOTO:
            from fakelab.detectors.face_photo import detect_faces_in_photo
            from fakelab.detectors.generated_photo import PictureViews, detect_generated

            if not settings.generated:
                return (detect_faces_in_photo(media.frames(options.density), media, model, options, tell),)
            pictures = loading.pictures()
            seen = PictureViews(pictures.card)
            faces = detect_faces_in_photo(seen.watch(media.frames(options.density)), media, model, options, tell)
            return faces, detect_generated(seen, media.info, pictures, options.prior, tell)
        case Kind.AUDIO:
            raise ValueError("a recording has no faces")


def _listen(
    info: MediaInfo, model: VoiceModel, settings: Settings, limits: Limits, tell: Progress
) -> tuple[Finding, tuple[str, ...]]:
    """The finding about the voice, and warnings: a sound track that cannot be read does not stop a video's analysis."""
    from fakelab.detectors.voice import VoiceOptions, detect_voice, judge
    from fakelab.errors import MediaError

    options = VoiceOptions(settings.prior or 0.5, limits)
    try:
        return detect_voice(info.path, info.kind, info.duration_s, model, options, tell), ()
    except MediaError as error:
        if info.kind is Kind.AUDIO:
            raise
        return judge((), info.kind, model, options.prior), (f"The sound could not be judged. {error}",)


def _compare_lips(
    info: MediaInfo, findings: Sequence[Finding], settings: Settings, limits: Limits, tell: Progress
) -> tuple[Check, ModelCard]:
    """The check of lips and sound, and the card of what compared them. Media that cannot be read do not stop it."""
    from fakelab.detectors.lip_sync import check_lips, not_done
    from fakelab.errors import MediaError
    from fakelab.models.lips import load_lips

    model = load_lips()
    faces = next((each for each in findings if each.detector == "face_video"), None)
    try:
        return check_lips(info.path, faces, model, limits, tell), model.card
    except MediaError as error:
        return not_done(str(error)), model.card


def _nothing_asked() -> Finding:
    from fakelab.verdict import reason

    return Finding("none", "Nothing was looked for.", Level.NOT_ANALYSABLE, None, (reason("no_detector"),))


def _density(settings: Settings) -> Density:
    from fakelab.media import Density

    if settings.every_s is not None:
        return Density(every_s=settings.every_s)
    return Density.thorough() if settings.thorough else Density()


class _Models(NamedTuple):
    """The models that a file needs; None for one that it does not."""

    face: FaceModel | None
    picture: FaceModel | None
    voice: VoiceModel | None


_loaded: dict[tuple[str, int], FaceModel] = {}
"""The models used last, of faces and of pictures: a folder of files must not load them again for each."""
_loaded_voices: dict[tuple[str, int], VoiceModel] = {}


class _Loading:
    """The models of one file, being loaded in a thread of their own from when this is made. Use it in a ``with``."""

    def __init__(self, kind: Kind, settings: Settings) -> None:
        self.ended = 0.0
        """When the last of them was there, by `time.perf_counter`."""
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, "fakelab-model")
        self._face = None if kind is Kind.AUDIO else self._pool.submit(self._timed, _model)
        wanted = kind is Kind.PHOTO and settings.generated
        self._picture = self._pool.submit(self._timed, _picture) if wanted else None
        self._voice: Future[VoiceModel] | None = None

    def face(self, info: MediaInfo) -> FaceModel | None:
        """The model of faces, which may be asked while it is still on its way; None for a recording.

        That of voices is loaded behind it, if the file needs one.
        """
        has_sound = info.kind is Kind.AUDIO or (info.kind is Kind.VIDEO and info.audio_codec is not None)
        if has_sound and self._settings.voice:
            self._voice = self._pool.submit(self._timed, _voice)
        if info.kind is Kind.AUDIO:
            self._face = None
        if info.kind is not Kind.PHOTO:
            self._picture = None
        if self._face is None:
            return None
        return self._coming(self._settings.model, self._face)

    def pictures(self) -> FaceModel:
        """The model of whole pictures, which may still be on its way. Raises ValueError where none was asked for."""
        if self._picture is None:
            raise ValueError("no model of pictures is being loaded")
        return self._coming(self._settings.picture_model, self._picture)

    def _coming(self, name: str, loading: Future[FaceModel]) -> FaceModel:
        from fakelab.models.card import load_card
        from fakelab.models.runtime import ComingModel

        return ComingModel(name, load_card(name), loading, self._settings.threads)

    def models(self) -> _Models:
        """All that the file needs, once they are there. Raises ModelError."""
        face, picture, voice = self._face, self._picture, self._voice
        return _Models(
            None if face is None else face.result(),
            None if picture is None else picture.result(),
            None if voice is None else voice.result(),
        )

    def _timed(self, load: Callable[[Settings], T]) -> T:
        loaded = load(self._settings)
        self.ended = time.perf_counter()
        return loaded

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _model(settings: Settings) -> FaceModel:
    return _kept(settings.model, settings)


def _picture(settings: Settings) -> FaceModel:
    return _kept(settings.picture_model, settings)


def _kept(name: str, settings: Settings) -> FaceModel:
    """The model called `name`, loaded unless it is one of the last; what these settings do not name is let go."""
    key = (name, settings.threads)
    if key not in _loaded:
        from fakelab.models.card import checked_onnx

        # Hashing keeps no other thread waiting: it goes on while these import what they need.
        checked = checked_onnx(name)
        from fakelab.models.runtime import load_checked

        loaded = load_checked(name, *checked, settings.threads)
        for other in [each for each in _loaded if each[0] not in (settings.model, settings.picture_model)]:
            del _loaded[other]
        _loaded[key] = loaded
    return _loaded[key]


def _voice(settings: Settings) -> VoiceModel:
    from fakelab.models.voice import load_voice

    key = (settings.voice_model, settings.threads)
    if key not in _loaded_voices:
        loaded = load_voice(settings.voice_model, threads=settings.threads)
        _loaded_voices.clear()
        _loaded_voices[key] = loaded
    return _loaded_voices[key]


def shown_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a result holds them. A report may travel: where this machine keeps things stays out of it."""
    return settings.model_dump(mode="json", exclude=set(KEPT_BACK))


def model_row(name: str) -> dict[str, str]:
    """Name, version and SHA-256 of a model as a result holds them, from its card alone. Raises UnknownNameError."""
    from fakelab.models.card import load_card

    return _row_of(load_card(name))


def known_models() -> dict[str, ModelCard]:
    """The cards of the models that there are, by name, the default first."""
    from fakelab.models.card import MODELS, load_card

    return {name: load_card(name) for name in MODELS}


def known_cards() -> tuple[ModelCard, ...]:
    """The cards of the models of every kind: faces, voices, whole pictures, lips."""
    from fakelab.models.card import EVERY, load_card

    return tuple(load_card(name) for name in EVERY)


def known_finders() -> tuple[str, ...]:
    """The names of the face finders."""
    from fakelab.faces.find import FINDERS

    return tuple(FINDERS)


def _row_of(card: ModelCard) -> dict[str, str]:
    digest = next((sha for file, sha in card.files.items() if not file.startswith("clip_tower/")), "")
    return {"name": card.name, "version": card.version, "sha256": digest}


def versions() -> dict[str, str]:
    """FakeLab's version and commit, Python's version, and those of the libraries that can change a number."""
    from fakelab import __version__
    from fakelab.commit import commit

    found = {
        "fakelab": __version__,
        "commit": commit() or "unknown",
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


__all__ = ["analyze", "known_finders", "known_models", "model_row", "shown_settings", "versions"]
