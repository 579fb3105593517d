"""Where results go: to stdout, or one report per file into a folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import unicodedata
from pathlib import Path

from fakelab.cli.inputs import Source
from fakelab.errors import EnvironmentBrokenError, FakeLabError, UsageError
from fakelab.records import Analysis
from fakelab.reports import BINARY_WRITERS, SUFFIXES, WRITERS

_MOST_BYTES = 180
"""Of a report's name: file systems allow 255, and a suffix and a number must fit behind."""


class Output:
    """Takes each result as it comes. With a folder every file gets a report of its own, but for jsonl, one for all."""

    def __init__(self, form: str, folder: Path | None, *, single: bool) -> None:
        if folder is None and form in BINARY_WRITERS and sys.stdout.isatty():
            raise UsageError(
                f"a {form} file cannot be shown on a terminal",
                "it is no text",
                f"Give --out FOLDER, or write '> report.{form}' behind the command.",
            )
        if folder is None and not single and form in ("json", "html", *BINARY_WRITERS):
            raise UsageError(
                f"several results cannot be one {form} document",
                "",
                "Give --out FOLDER for one report per file" + (", or use --format jsonl." if form == "json" else "."),
            )
        self.form, self.folder, self.single = form, folder, single
        self._names: set[str] = set()
        self._count = 0
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"the folder '{folder}' cannot be made", str(error.strerror), "Choose another --out."
                ) from error

    def result(self, path: Source, analysis: Analysis) -> Path | None:
        """Writes one analysis; returns the report's path where there is a folder."""
        if self.form in BINARY_WRITERS:
            return self._put_bytes(path, analysis)
        return self._put(path, self._written(analysis))

    def _written(self, analysis: Analysis) -> str:
        # NO_COLOR: a convention that any value but an empty one switches styles off.
        if self.form == "text" and self.folder is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            from fakelab.reports.text import write_text

            return write_text(analysis, colour=True, width=max(40, min(100, shutil.get_terminal_size().columns)))
        return WRITERS[self.form](analysis)

    def failure(self, path: Source, error: FakeLabError) -> None:
        """Writes that a file could not be analysed, in the formats that machines read."""
        if self.form in ("json", "jsonl"):
            from fakelab.reports.json_report import dumps, dumps_line, error_document

            document = error_document(str(path), path.name, error.code, error.what, error.why, error.do)
            self._put(path, dumps(document) if self.form == "json" else dumps_line(document))

    def _put(self, path: Source, text: str) -> Path | None:
        self._count += 1
        if self.folder is None:
            if self.form == "text" and self._count > 1:
                print()
            sys.stdout.write(text)
            sys.stdout.flush()
            return None
        try:
            if self.form == "jsonl":
                target, mode = self.folder / "analyses.jsonl", "w" if self._count == 1 else "a"
            else:
                target, mode = self.folder / self._name(path), "w"
            with target.open(mode, encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise _unwritable(target, error) from error
        return target

    def _put_bytes(self, path: Source, analysis: Analysis) -> Path | None:
        write = BINARY_WRITERS[self.form]
        if self.folder is None:
            # A ZIP is written by going back in it, which a pipe does not allow.
            with tempfile.TemporaryFile() as file:
                write(analysis, file)
                file.seek(0)
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
            return None
        target = self.folder / self._name(path)
        try:
            with target.open("wb") as file:
                write(analysis, file)
        except OSError as error:
            raise _unwritable(target, error) from error
        return target

    def _name(self, path: Source) -> str:
        """A name for the report: the file's own, harmless, and unlike any before it in this run."""
        kept = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in path.name).lstrip(".") or "file"
        kept = unicodedata.normalize("NFC", kept).encode()[:_MOST_BYTES].decode(errors="ignore")
        name, number = kept + SUFFIXES[self.form], 2
        while name.casefold() in self._names:
            name, number = f"{kept}-{number}{SUFFIXES[self.form]}", number + 1
        self._names.add(name.casefold())
        return name


def _unwritable(target: Path, error: OSError) -> EnvironmentBrokenError:
    return EnvironmentBrokenError(
        f"the report '{target}' cannot be written", str(error.strerror), "Check space and rights of --out."
    )
