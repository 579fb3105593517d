"""The nouns of the history: a run as lists show it, what is searched for, what people added."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Run:
    """One inference as lists show it. `seq` orders runs; `conclusion` is the newest review's."""

    id: str
    seq: int
    owner: str
    actor: str
    acquired: str
    started: str
    ended: str
    place: str
    name: str
    kind: str
    size_bytes: int | None
    duration_s: float | None
    sha256: str
    phash: tuple[str, ...]
    level: str
    p_fake: float | None
    sentence: str
    models: str
    fakelab: str
    error: str
    hardware: str
    document_sha256: str
    tags: tuple[str, ...] = ()
    conclusion: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What a list is asked for. `words` are looked for in names, hashes, reasons, tags and reviews, as beginnings."""

    words: str = ""
    level: str = ""
    kind: str = ""
    model: str = ""
    tag: str = ""
    owner: str = ""
    since: str = ""
    """RFC 3339, or its beginning: 2026-11 is all that was started in or after November."""
    until: str = ""
    sort: str = "newest"


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, and the cursor of the next page, empty on the last."""

    runs: tuple[Run, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """An analyst's conclusion on a run."""

    at: str
    actor: str
    conclusion: str
    notes: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file made from the media, with the hash it had when it was made."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Soundness:
    """What `History.check` found: how many events and runs hold, and what does not."""

    events: int
    runs: int
    faults: tuple[str, ...] = field(default=())
