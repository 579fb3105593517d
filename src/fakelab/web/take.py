"""What is handed in, from a form or over REST, becomes an analysis of whoever sent it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakelab.errors import DeniedError
from fakelab.service.accounts import Who
from fakelab.service.chain import sha256_of_json
from fakelab.service.intake import CHOICES, Taken, shown_name
from fakelab.service.jobs import Asked, Job
from fakelab.service.runs import Run
from fakelab.web.house import House
from fakelab.web.receive import ReceivedFile


def take_file(house: House, who: Who, file: ReceivedFile, fields: Mapping[str, Any], key: str = "") -> Taken:
    """A file that came becomes an analysis of whoever sent it."""
    choices = {name: value for name, value in fields.items() if name in CHOICES and value not in ("", None)}
    webhook = str(fields.get("webhook") or "")
    if webhook:
        house.webhooks.check(webhook)
    return house.intake.take(
        Asked(
            name=shown_name(file.name),
            owner=who.desk,
            actor=who.name,
            acquired="upload",
            size_bytes=file.size,
            sha256=file.sha256,
            choices=choices,
            request_key=key,
            request_hash=sha256_of_json({"file": file.sha256, "choices": choices}) if key else "",
            webhook=webhook,
        ),
        file.path,
    )


def take_path(house: House, who: Who, path: str, choices: Mapping[str, Any]) -> list[Taken]:
    """A file or folder of this machine, for the person who sits at it. Raises DeniedError for anybody else."""
    _need_the_machine(who)
    return house.intake.take_path(Path(path).expanduser(), owner=who.desk, actor=who.name, choices=choices)


def may_take_again(who: Who, run: Run) -> bool:
    """Whether the file of a run is still stored, and this person may have it read again."""
    return bool(run.place) and os.path.isfile(run.place) and (run.acquired != "path" or who.via == "ticket")


def _need_the_machine(who: Who) -> None:
    if who.via != "ticket":
        raise DeniedError("paths are for local mode", "others must not learn what lies on this machine", "Upload it.")


def try_again(house: House, who: Who, job: Job) -> Taken:
    """What failed as an analysis of its own: the link is fetched again, or the file taken that is still stored."""
    if job.url:
        return take_link(house, who, job.url, job.choices, webhook=job.webhook, repeats=job.id)
    if job.acquired == "path":
        _need_the_machine(who)
    if job.webhook:
        house.webhooks.check(job.webhook)
    return house.intake.retry(job, actor=who.name)


def take_link(
    house: House,
    who: Who,
    url: str,
    choices: Mapping[str, Any],
    key: str = "",
    webhook: str = "",
    repeats: str = "",
) -> Taken:
    """A link becomes an analysis; its file is fetched when its turn comes."""
    if webhook:
        house.webhooks.check(webhook)
    return house.intake.take_link(
        Asked(
            name="",
            owner=who.desk,
            actor=who.name,
            acquired="url",
            url=url,
            choices=choices,
            request_key=key,
            request_hash=sha256_of_json({"url": url, "choices": dict(choices)}) if key else "",
            webhook=webhook,
            repeats=repeats,
        )
    )
