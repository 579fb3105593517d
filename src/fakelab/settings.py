"""Every setting once: name, default, help, environment variable, and the flag of the command line that goes before it.

A flag wins over the environment variable, and that over the default. The flags of `fakelab analyze`, ``fakelab config
show`` and docs/reference/settings.md are all derived from the class `Settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from fakelab.errors import UsageError, unknown_name

PREFIX = "FAKELAB_"


def _data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("fakelab", appauthor=False)


def _setting(default: Any, help_text: str, *, flag: str = "", shown: str = "", **limits: Any) -> Any:
    """A field of `Settings`. `shown` is the default in words, where its value would not say enough."""
    extra: dict[str, Any] = {"flag": flag, "shown": shown}
    if callable(default):
        return Field(default_factory=default, description=help_text, json_schema_extra=extra, **limits)
    return Field(default=default, description=help_text, json_schema_extra=extra, **limits)


class Settings(BaseSettings):
    """What may be chosen, resolved. Build it with `read_settings`, whose errors say what to do."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    model: str = _setting("clip_face", "Model that scores the faces; `fakelab models list` names them.", flag="--model")
    finder: str = _setting("yunet", "Face finder: yunet, or dlib as a second opinion.", flag="--finder")
    thorough: bool = _setting(
        False, "Look every 2 seconds instead of at 8 places of the clip.", flag="--thorough/--no-thorough"
    )
    every_s: float | None = _setting(
        None,
        "Look once every so many seconds of the clip, and at 8 places at least; goes before --thorough.",
        flag="--every",
        gt=0,
        shown="not set",
    )
    voice: bool = _setting(True, "Judge the voice in recordings and in the sound of videos.", flag="--voice/--no-voice")
    voice_model: str = _setting(
        "voice", "Model that judges voices; `fakelab models list` names them.", flag="--voice-model"
    )
    generated: bool = _setting(
        False,
        "Judge whether a whole photo was made by a generator: experimental, about a second more.",
        flag="--generated/--no-generated",
    )
    picture_model: str = _setting(
        "generated_photo", "Model that judges whole photos; `fakelab models list` names them.", flag="--picture-model"
    )
    lip_sync: bool = _setting(
        False,
        "Compare lips with the sound of videos, and say who speaks: experimental, some seconds more, in no verdict.",
        flag="--lip-sync/--no-lip-sync",
    )
    prior: float = _setting(
        0.5,
        "Share of manipulated files expected among those analysed, above 0 and below 1; moves p_fake, never the level.",
        flag="--prior",
        gt=0,
        lt=1,
    )
    stability: bool = _setting(
        True,
        "Score some faces again: compressed once more, at half the size, cut closer; a verdict that flips is "
        "inconclusive.",
        flag="--stability/--no-stability",
    )
    threads: int = _setting(
        0,
        "Processor threads for decoding and for the network; 0 leaves the number to them.",
        flag="--threads",
        ge=0,
        le=1024,
    )
    memory_mb: int = _setting(2048, "Address space that decoding one file may take, in MB.", ge=256)
    cpu_s: int = _setting(600, "Processor time that decoding one file may take, in seconds.", ge=1)
    wall_s: float = _setting(900.0, "Time that may pass while one file is decoded, in seconds.", gt=0)
    pixels: int = _setting(100_000_000, "Width x height above which a photo or a frame is refused.", ge=1)
    trust_list: Path | None = _setting(
        None,
        "PEM file of the certificate authorities whose Content Credentials (C2PA) count as trusted.",
        shown="not set",
    )
    data_dir: Path = _setting(
        _data_dir,
        "Folder for what FakeLab keeps between runs: the history, its files, the key that signs reports.",
        shown="the system's folder for data",
    )
    history: bool = _setting(True, "Keep every analysis in the history.", flag="--history/--no-history")
    keep_faces: bool = _setting(True, "Keep the faces that a report shows with it, so that it can be written again.")
    database: str = _setting(
        "", "PostgreSQL's URL for the history; empty for SQLite in the data folder.", shown="SQLite in data_dir"
    )
    host: str = _setting(
        "127.0.0.1", "Address that the server listens on; other than this machine's own needs accounts.", flag="--host"
    )
    port: int = _setting(8477, "Port that the server listens on.", flag="--port", ge=0, le=65535)
    hosts: str = _setting(
        "", "Names that the server is reached by, separated by commas.", shown="this machine's own; any with accounts"
    )
    jobs: int = _setting(
        0,
        "Files analysed at once.",
        flag="--jobs",
        ge=0,
        le=256,
        shown="one for two cores and 2 GB of memory, at least one",
    )
    queue_limit: int = _setting(1000, "Analyses that may wait; the server then asks clients to come back.", ge=1)
    rate: float = _setting(
        50.0, "Requests a second that one account or key may make in the long run; 0 sets no limit.", ge=0
    )
    upload_mb: int = _setting(10_240, "Size up to which the server takes a file, in MB.", ge=1)
    retention_days: int = _setting(0, "Days after which the server deletes a record with its file; 0 keeps it.", ge=0)
    watch: Path | None = _setting(None, "Folder whose new files the server analyses.", flag="--watch", shown="not set")
    webhooks: str = _setting(
        "", "Beginnings of addresses that may be told of a finished analysis, separated by commas.", shown="none"
    )
    oidc_issuer: str = _setting(
        "", "Address of the identity provider (OpenID Connect) by which accounts sign in.", shown="none"
    )
    oidc_client: str = _setting("", "The client's name there.", shown="none")
    oidc_secret: str = _setting("", "The client's secret there.", shown="none")
    oidc_role: str = _setting(
        "", "Role of people whom the provider knows and FakeLab does not.", shown="none: they stay out"
    )
    debug: bool = _setting(False, "Show where in the code an error came from.")


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as a table shows it."""

    name: str
    variable: str
    flag: str
    """Empty where the command line has none."""
    default: str
    help: str


def table() -> dict[str, Row]:
    """Every setting by name, in the order of the documentation."""
    rows = {}
    for name, each in Settings.model_fields.items():
        extra = each.json_schema_extra if isinstance(each.json_schema_extra, dict) else {}
        default = str(extra.get("shown") or "") or _plain(each.default)
        rows[name] = Row(name, PREFIX + name.upper(), str(extra.get("flag") or ""), default, str(each.description))
    return rows


def read_settings(**flags: Any) -> Settings:
    """The settings of this run: `flags` that are not None, then the environment, then the defaults.

    Raises UsageError for a value that does not fit, UnknownNameError for a setting that does not exist.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given:
        if name not in Settings.model_fields:
            raise unknown_name("setting", name, Settings.model_fields)
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise _unfit(name, first["input"], first["msg"], given) from error
    except SettingsError as error:
        raise UsageError("the settings cannot be read", str(error), "Mend the variable, or unset it.") from error


def changed(settings: Settings, **choices: Any) -> Settings:
    """The same settings but for these choices. Raises what `read_settings` raises."""
    return read_settings(**{**settings.model_dump(), **choices})


def _unfit(name: str, value: object, why: str, given: dict[str, Any]) -> UsageError:
    row = table().get(name)
    if row is None:
        return UsageError("the settings cannot be used", why)
    where = row.flag.partition("/")[0] or f"the argument '{name}'" if name in given else row.variable
    why = why[:1].lower() + why[1:]
    return UsageError(f"{where} cannot be '{value}'", why, f"It means: {row.help} Default: {row.default}.")


def origin(name: str, **flags: Any) -> str:
    """Where the value of a setting comes from: a flag, an environment variable, or the default."""
    if flags.get(name) is not None:
        return "flag"
    variable = PREFIX + name.upper()
    return variable if any(key.upper() == variable and value for key, value in os.environ.items()) else "default"


def unknown_variables() -> list[str]:
    """The names of environment variables that begin like ours and name no setting, such as a misspelt one."""
    known = {row.variable for row in table().values()}
    return sorted(key for key in os.environ if key.upper().startswith(PREFIX) and key.upper() not in known)


def _plain(value: object) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
