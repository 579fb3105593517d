"""How files come in: from a page, the REST interface, a link, a watched folder, or to be done again.

A file that its owner has an answer for gets that answer; anything else becomes a job in the queue.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fakelab.errors import ConflictError, NotFoundError, TooManyError, UsageError, unknown_name
from fakelab.service.history import History, new_id
from fakelab.service.jobs import FAILED, RUNNING, WAITING, Asked, Job, Jobs
from fakelab.service.recipe import recipe_of_settings
from fakelab.service.runs import Run
from fakelab.settings import Settings, changed

CHOICES = ("model", "finder", "thorough", "every_s", "prior", "generated", "lip_sync")
"""What whoever hands a file in may choose; everything else is the machine's."""
AGAIN_S = 15.0
"""After how long a client whose file found no room in the queue may come back."""
MOST_OF_A_FOLDER = 1000
_LONGEST_NAME = 200
_URL = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file: its identifier, and whether it had an answer already (`known`) or a job before."""

    id: str
    known: bool
    fresh: bool


class Intake:
    """Takes files in for a server. `put` hands a job to the queue."""

    def __init__(self, history: History, settings: Settings, put: Callable[[Job], None]) -> None:
        self.history, self.settings, self._put = history, settings, put
        self.jobs = Jobs(history)
        # Two uploads of one file at once must not both become jobs.
        self._one_at_a_time = threading.Lock()

    def check_room(self) -> None:
        """Raises TooManyError while the queue is full: best asked before a file is sent."""
        counts = self.jobs.counts()
        if counts[WAITING] + counts[RUNNING] >= self.settings.queue_limit:
            raise TooManyError(
                "the queue is full", f"{counts[WAITING]} analyses wait", "Try again in a moment.", AGAIN_S
            )

    def take(self, asked: Asked, file: Path) -> Taken:
        """A file that was written to disk for us: it is moved to where media is kept, or deleted where it is known.

        `asked` holds its name and SHA-256. Raises UsageError for a choice or a key that cannot be used, TooManyError.
        """
        choices = self.checked(asked.choices)
        recipe = recipe_of_settings(asked.sha256, changed(self.settings, **choices))
        _sync(file)
        with self._one_at_a_time:
            if asked.request_key and (before := self._of_request(asked)):
                file.unlink(missing_ok=True)
                return before
            if before := self._known(recipe, asked.owner):
                file.unlink(missing_ok=True)
                self.history.note(asked.actor, "answered from the record", before.id)
                return before
            self.check_room()
            job_id = new_id()
            place = self.history.media_of(job_id) / clean_name(asked.name)
            place.parent.mkdir(parents=True, mode=0o700)
            size = file.stat().st_size
            shutil.move(file, place)
            return self._added(asked, id=job_id, place=str(place), size_bytes=size, recipe=recipe, choices=choices)

    def take_in_place(self, asked: Asked) -> Taken:
        """A file that stays where it is, `asked.place`, such as one of a watched folder."""
        choices = self.checked(asked.choices)
        recipe = recipe_of_settings(asked.sha256, changed(self.settings, **choices))
        with self._one_at_a_time:
            if before := self._known(recipe, asked.owner):
                return before
            self.check_room()
            return self._added(asked, recipe=recipe, choices=choices)

    def take_path(self, path: Path, *, owner: str, actor: str, choices: Mapping[str, Any]) -> list[Taken]:
        """A file of this machine, or every file of a folder, where it lies. Raises NotFoundError, UsageError."""
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
            if not files:
                raise UsageError(f"there is no file in '{path}'", "", "")
            if len(files) > MOST_OF_A_FOLDER:
                raise UsageError(
                    f"'{path}' has {len(files)} files", "", f"At most {MOST_OF_A_FOLDER} are taken at once."
                )
        else:
            files = [path]
        return [self._take_path(each, owner, actor, choices) for each in files]

    def _take_path(self, path: Path, owner: str, actor: str, choices: Mapping[str, Any]) -> Taken:
        digest, size = _digest(path)
        return self.take_in_place(
            Asked(
                name=shown_name(path.name),
                owner=owner,
                actor=actor,
                acquired="path",
                place=str(path.resolve()),
                size_bytes=size,
                sha256=digest,
                choices=choices,
            )
        )

    def take_link(self, asked: Asked) -> Taken:
        """A link, whose file is fetched when its turn comes. Raises UsageError for what is no http(s) address."""
        url = asked.url.strip()
        parts = urlsplit(url)
        if not _URL.fullmatch(url) or not parts.hostname or parts.username or parts.password:
            raise UsageError("this link cannot be used", "", "Give a whole http or https address without a password.")
        choices = self.checked(asked.choices)
        with self._one_at_a_time:
            if asked.request_key and (before := self._of_request(asked)):
                return before
            self.check_room()
            return self._added(asked, url=url, name=asked.name or url, choices=choices)

    def again(self, run: Run, model: str, *, actor: str, batch: str) -> Taken:
        """A run done again with another model. Raises UsageError where its file is gone."""
        if not run.place or not os.path.isfile(run.place):
            raise UsageError(f"'{run.name}' cannot be analysed again", "its file is no longer there", "")
        settings = self.history.document(run.id)["settings"]
        choices = {name: settings[name] for name in CHOICES if settings.get(name) is not None} | {"model": model}
        asked = Asked(
            name=run.name,
            owner=run.owner,
            actor=actor,
            acquired=run.acquired,
            size_bytes=run.size_bytes,
            sha256=run.sha256,
            choices=self.checked(choices),
            repeats=run.id,
            batch=batch,
        )
        recipe = recipe_of_settings(run.sha256, changed(self.settings, **choices))
        with self._one_at_a_time:
            return self._repeated(asked, Path(run.place), recipe)

    def retry(self, job: Job, *, actor: str) -> Taken:
        """The file of a failed job as an analysis of its own, asked for as before; the record of the failure stays.

        Where the same is under way already, that is the answer. Raises UsageError where the file is gone.
        """
        place = Path(job.place)
        if job.state != FAILED or not job.place or not place.is_file():
            why = "its file is no longer stored" if job.state == FAILED else f"it is {job.state}"
            raise UsageError(f"'{job.name}' cannot be tried again", why, "Hand the file in anew.")
        asked = Asked(
            name=job.name,
            owner=job.owner,
            actor=actor,
            acquired=job.acquired,
            size_bytes=job.size_bytes,
            sha256=job.sha256,
            choices=self.checked(job.choices),
            webhook=job.webhook,
            repeats=job.id,
        )
        if self.history.media_of(job.id) not in place.parents:
            # A file that lies with its owner may have been mended since.
            digest, size = _digest(place)
            asked = replace(asked, sha256=digest, size_bytes=size)
        recipe = recipe_of_settings(asked.sha256, changed(self.settings, **asked.choices))
        with self._one_at_a_time:
            if under_way := self.jobs.under_way(recipe, owner=job.owner):
                return Taken(under_way.id, known=False, fresh=False)
            return self._repeated(asked, place, recipe)

    def checked(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        """The choices that were made, of the types that settings have. Raises UsageError, UnknownNameError."""
        from fakelab.analyze import known_finders, known_models

        made = {name: value for name, value in choices.items() if value not in (None, "")}
        for name in made:
            if name not in CHOICES:
                raise unknown_name("choice", name, CHOICES)
        settings = changed(self.settings, **made)
        for name, value, known in (
            ("model", settings.model, known_models()),
            ("face finder", settings.finder, known_finders()),
        ):
            if value not in known:
                raise unknown_name(name, value, known)
        return {name: getattr(settings, name) for name in made}

    # -- inside ------------------------------------------------------------------------------------------------

    def _repeated(self, asked: Asked, place: Path, recipe: str) -> Taken:
        self.check_room()
        job_id = new_id()
        if self.history.media_of(asked.repeats) in place.parents:
            # Each run keeps its own file, so that deleting one leaves the other whole; the bytes lie there once.
            own = self.history.media_of(job_id) / place.name
            own.parent.mkdir(parents=True, mode=0o700)
            _link_or_copy(place, own)
            place = own
        return self._added(asked, id=job_id, place=str(place), recipe=recipe)

    def _added(self, asked: Asked, **values: Any) -> Taken:
        job = self.jobs.add(replace(asked, **values))
        if job.repeats:
            self.history.note(job.actor, "re-run", job.repeats, again=job.id)
        self._put(job)
        return Taken(job.id, known=False, fresh=True)

    def _of_request(self, asked: Asked) -> Taken | None:
        job = self.jobs.of_request(asked.request_key, asked.request_hash, owner=asked.owner)
        return Taken(job.id, known=not job.open, fresh=False) if job else None

    def _known(self, recipe: str, owner: str) -> Taken | None:
        if run := self.history.answered(recipe, owner=owner):
            return Taken(run.id, known=True, fresh=False)
        if job := self.jobs.under_way(recipe, owner=owner):
            return Taken(job.id, known=False, fresh=False)
        return None


def clean_name(name: str) -> str:
    """The name that a file is kept under: its last part, without what file systems, pages or people stumble over."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join("_" if unicodedata.category(each)[0] == "C" else each for each in last).strip(" .")
    stem, dot, ending = kept.rpartition(".")
    ending = ending[:16] if stem else ""
    room = _LONGEST_NAME - len(f"{dot}{ending}".encode())
    short = (stem or kept).encode()[:room].decode(errors="ignore")
    return f"{short}{dot if stem else ''}{ending}" or "file"


def shown_name(name: str) -> str:
    """The name that a record keeps of a file that was handed in: its last part, at most 255 characters."""
    last = re.split(r"[/\\]", name)[-1].replace("\0", "").strip()[:255]
    return last.encode(errors="replace").decode() or "file"


def _digest(path: Path) -> tuple[str, int]:
    """The SHA-256 and the size of a file. Raises NotFoundError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise NotFoundError(f"'{path}' cannot be read", str(error.strerror), "Check the path.") from error


def _sync(path: Path) -> None:
    """Brings the bytes of a file onto the disk before anybody is told that it was taken."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError as error:
        raise ConflictError("this upload was handed in already", "", "Look at the list of analyses.") from error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
