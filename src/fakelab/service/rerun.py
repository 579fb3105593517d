"""An old run done again: by its report, to verify it, or by its record, with a newer model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakelab.errors import FakeLabError, UnknownNameError
from fakelab.records import Analysis, Progress
from fakelab.service.chain import sha256_of_json
from fakelab.service.history import History
from fakelab.service.runs import Run, Search
from fakelab.service.seal import Seal
from fakelab.settings import Settings, read_settings

SAME_P = 0.01
"""A repeated p_fake within this of the first is the same: processors and libraries round differently."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: `ok` is None where it could not be."""

    name: str
    ok: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of verifying a report. `differs` names what is not as it was then and may move a number."""

    checks: tuple[Check, ...]
    differs: tuple[str, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """Whether nothing that was checked failed."""
        return all(each.ok is not False for each in self.checks)


@dataclass(frozen=True, slots=True)
class Change:
    """A run and the one that repeats it with another model; `again` is None where the file is gone or changed."""

    before: Run
    again: Run | None
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether the level is another now."""
        return self.again is not None and self.again.level != self.before.level


def settings_of(document: Mapping[str, Any], **changed: Any) -> Settings:
    """The settings that a record was made with; those that this version no longer knows are left out.

    A record that names no stability test, whole pictures or lips, was made before there was such a thing: it is
    repeated without it.
    """
    known = {"stability": False, "generated": False, "lip_sync": False} | {
        name: value for name, value in document["settings"].items() if name in Settings.model_fields
    }
    return read_settings(**{**known, **changed})


def repeat(document: Mapping[str, Any], path: Path, progress: Progress | None = None, **changed: Any) -> Analysis:
    """The file at `path` analysed as the record was, but for what is `changed`. Raises what `analyze` raises."""
    from fakelab.analyze import analyze

    return analyze(path, settings=settings_of(document, **changed), progress=progress)


def verify(
    seal: Seal, history: History | None, *, media: Path | None, own_key: str, progress: Progress | None = None
) -> Verification:
    """What a report claims, checked against the log, the file and a new run.

    The bytes and the signature were checked when the seal was read. Without `media` the file is looked for where it
    was.
    """
    document = seal.document
    checks = [Check("report", True, "its bytes and its signature fit"), _whose_key(seal, own_key)]
    if history is not None and seal.public_key == own_key:
        checks.append(_in_log(seal, history))
        checks.append(_in_history(seal, history))
    path = media or _place(seal, history)
    checks.append(_same_file(document, path, given=media is not None))
    if not checks[-1].ok:
        return Verification((*checks, Check("re-run", None, "not done without the file")))
    try:
        again = repeat(document, path, progress)
    except FakeLabError as error:
        return Verification((*checks, Check("re-run", False, str(error))))
    checks += [_same_models(document, again), _same_answer(document, again)]
    return Verification(tuple(checks), tuple(_differences(document["versions"], again.versions)))


def rescore(
    history: History, search: Search, *, actor: str, progress: Progress | None = None, **changed: Any
) -> Iterator[Change]:
    """Every run of a search done again with `changed` settings (a newer model), each kept as a run of its own.

    Runs of one file are repeated once, the newest of them. A file that is gone or altered is told, not guessed.
    """
    done: set[str] = set()
    # All at once: the new runs must not join the search.
    for run in list(history.every(search)):
        if not run.sha256 or run.sha256 in done or run.error:
            continue
        done.add(run.sha256)
        document = history.document(run.id)
        path = Path(run.place)
        same = _same_file(document, path, given=False)
        if not same.ok:
            yield Change(run, None, same.words)
            continue
        try:
            analysis = repeat(document, path, progress, **changed)
        except FakeLabError as error:
            yield Change(run, None, str(error))
            continue
        again = history.add(analysis, actor=actor, acquired=run.acquired, owner=run.owner)
        history.note(actor, "re-run", run.id, again=again.id)
        yield Change(run, again)


def _place(seal: Seal, history: History | None) -> Path:
    """Where the file lay: by the history, which knows the whole path, else by the report."""
    if history is not None:
        try:
            return Path(history.get(seal.run).place)
        except UnknownNameError:
            pass
    return Path(seal.document["file"]["path"])


def _whose_key(seal: Seal, own_key: str) -> Check:
    if seal.public_key == own_key:
        return Check("key", True, f"signed by this FakeLab ({seal.fingerprint})")
    words = f"signed by another FakeLab: ask its owner whether the key {seal.fingerprint} is theirs"
    return Check("key", None, words)


def _in_log(seal: Seal, history: History) -> Check:
    found = history.hash_of_event(seal.head_seq)
    if found == seal.head:
        return Check("log", True, f"the log still holds the event {seal.head_seq} that the report names")
    return Check("log", False, f"event {seal.head_seq} of the log is not the one that the report names")


def _in_history(seal: Seal, history: History) -> Check:
    digest = sha256_of_json(seal.document)
    created = [each for each in history.events(seal.run) if each.action == "created"]
    if not created:
        return Check("record", False, f"the history has no run {seal.run}")
    if created[0].detail["document"] != digest:
        return Check("record", False, f"the report is not of what was recorded as run {seal.run}")
    return Check("record", True, f"it is what was recorded as run {seal.run}")


def _same_file(document: Mapping[str, Any], path: Path, *, given: bool) -> Check:
    wanted = document["file"]["sha256"]
    if not wanted:
        return Check("file", None, "the record has no hash of the file: it could not be read")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        words = f"'{path}' cannot be read ({error.strerror}): give the file with --file"
        return Check("file", False if given else None, words)
    if found != wanted:
        return Check("file", False, f"'{path}' is another file: its SHA-256 is {found}, not {wanted}")
    return Check("file", True, f"SHA-256 {wanted}")


def _same_models(document: Mapping[str, Any], again: Analysis) -> Check:
    then = {each["name"]: each for each in document["models"]}
    now = {each["name"]: each for each in again.models}
    wrong = [
        f"{name}: {_short(each)} then, {_short(now[name])} now"
        for name, each in then.items()
        if name in now and now[name]["sha256"] != each["sha256"]
    ]
    wrong += [f"{name} is not used now" for name in then if name not in now]
    if wrong:
        return Check("models", False, "; ".join(wrong))
    return Check("models", True, ", ".join(f"{name} {each['version']}" for name, each in then.items()))


def _same_answer(document: Mapping[str, Any], again: Analysis) -> Check:
    level, p = document["verdict"]["level"], document["verdict"]["p_fake"]
    found, q = again.verdict.level.value, again.verdict.p_fake
    words = f"{level}, p_fake {_shown(p)} then; {found}, p_fake {_shown(q)} now"
    same_p = (p is None and q is None) or (p is not None and q is not None and abs(p - q) <= SAME_P)
    return Check("re-run", level == found and same_p, words)


def _short(model: Mapping[str, str]) -> str:
    return f"{model['version']} ({model['sha256'][:12]})"


def _shown(p: float | None) -> str:
    return "none" if p is None else f"{p:.3f}"


def _differences(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield f"{name} {then.get(name, 'not stated')} then, {now.get(name, 'not there')} now"
