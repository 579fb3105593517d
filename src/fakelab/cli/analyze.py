"""``fakelab analyze``: files, folders and links -> verdicts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.diary import Diary
from fakelab.cli.inputs import Inputs, Link, Source, fetched, gather
from fakelab.cli.options import resolve, setting_flag
from fakelab.cli.outputs import Output
from fakelab.cli.terminal import Progress, Run, bar, make_app, one_of, print_error, safe, score
from fakelab.errors import FakeLabError, MediaError
from fakelab.records import Analysis
from fakelab.settings import Settings

FORMATS = ("text", "json", "jsonl", "html", "pdf", "zip")
FAIL_ON = ("strong_evidence", "moderate_evidence", "inconclusive")
"""From worst to mildest: a level is reached by itself and by every one before it."""

app = make_app("Say how strong the evidence is that a face or a voice was manipulated.")


@app.command()
def analyze(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER|URL",
            help="Videos, photos, recordings, folders of them (searched with all below), or links to them.",
        ),
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"How results are written: {', '.join(FORMATS)}.")
    ] = "text",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Write one report per file into this folder (jsonl: one for all)."
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="LEVEL",
            help=f"End with exit code 1 when a file reaches this level or a worse one: {', '.join(FAIL_ON)}.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FOLDER",
            help="Keep what links lead to in this folder; else it is deleted after its turn.",
        ),
    ] = None,
    model: Annotated[str | None, setting_flag("model", "NAME")] = None,
    finder: Annotated[str | None, setting_flag("finder", "NAME")] = None,
    thorough: Annotated[bool | None, setting_flag("thorough")] = None,
    every_s: Annotated[float | None, setting_flag("every_s", "SECONDS")] = None,
    voice: Annotated[bool | None, setting_flag("voice")] = None,
    voice_model: Annotated[str | None, setting_flag("voice_model", "NAME")] = None,
    generated: Annotated[bool | None, setting_flag("generated")] = None,
    picture_model: Annotated[str | None, setting_flag("picture_model", "NAME")] = None,
    prior: Annotated[float | None, setting_flag("prior", "P")] = None,
    stability: Annotated[bool | None, setting_flag("stability")] = None,
    lip_sync: Annotated[bool | None, setting_flag("lip_sync")] = None,
    threads: Annotated[int | None, setting_flag("threads", "N")] = None,
    history: Annotated[bool | None, setting_flag("history")] = None,
) -> int:
    """Say how strong the evidence is that a face or a voice was manipulated, or a photo generated.

    A folder is searched with all folders below it, and media are told by their first bytes, not by their names. A
    file that cannot be analysed does not stop the others; all of them are listed at the end. A link (http or https;
    needs the extra 'url') is downloaded from public addresses alone, and its file deleted afterwards.
    """
    settings = resolve(
        model=model,
        finder=finder,
        thorough=thorough,
        every_s=every_s,
        voice=voice,
        voice_model=voice_model,
        generated=generated,
        picture_model=picture_model,
        prior=prior,
        stability=stability,
        lip_sync=lip_sync,
        threads=threads,
        history=history,
    )
    one_of("format", form, FORMATS)
    if fail_on is not None:
        one_of("level for --fail-on", fail_on, FAIL_ON)
    _refuse_unknown_names(settings)
    inputs = gather(paths)
    single = len(paths) == 1 and not Path(paths[0]).is_dir()
    debug = isinstance(context.obj, Run) and context.obj.debug
    return _Batch(settings, Output(form, out, single=single), fail_on, debug, keep).run(inputs)


def _refuse_unknown_names(settings: Settings) -> None:
    """Raises UnknownNameError or ModelError before any file is opened."""
    from fakelab.faces.find import FINDERS
    from fakelab.models.card import load_card

    load_card(settings.model)
    load_card(settings.voice_model)
    load_card(settings.picture_model)
    one_of("face finder", settings.finder, list(FINDERS))


class _Batch:
    """One call: every file in turn, the bad ones kept for the end."""

    def __init__(self, settings: Settings, output: Output, fail_on: str | None, debug: bool, keep: Path | None) -> None:
        self.settings, self.output, self.fail_on, self.debug, self.keep = settings, output, fail_on, debug, keep
        self.levels: Counter[str] = Counter()
        self.bad: list[tuple[Source, FakeLabError]] = []
        self.diary = Diary(settings)
        self.silent: list[tuple[Source, str]] = []
        """Analysed, but with nothing in it that could be judged, and why."""

    def run(self, inputs: Inputs) -> int:
        for path, error in inputs.bad:
            self._failed(path, error)
        total = len(inputs.files)
        try:
            self._all(inputs.files, total)
        finally:
            self.diary.close()
        if self.output.single and self.bad:
            print_error(self.bad[0][1])
        elif not self.output.single:
            self._sum_up(inputs)
        return self._exit_code()

    def _all(self, files: Sequence[Source], total: int) -> None:
        for number, path in enumerate(files, start=1):
            self._one(path, f"{number}/{total} {path.name}" if total > 1 else path.name)

    def _one(self, path: Source, title: str) -> None:
        try:
            with bar(title) as drawn:

                def progress(stage: str, done: int, total: int | None) -> None:
                    if stage == "model":  # the file is open: what the analysis needs first is on its way
                        self.diary.prepare()
                    drawn(stage, done, total)

                analysis = self._analysis(path, progress)
        except MediaError as error:
            self._failed(path, error)
            return
        except (FakeLabError, BrokenPipeError):
            raise
        except Exception as error:
            # A fault of ours in one file must not cost the verdicts on the others.
            if self.output.single:
                raise
            if self.debug:
                import traceback

                traceback.print_exc()
            words = f"{type(error).__name__}: {error}"
            self._failed(
                path, FakeLabError(f"'{path}' cannot be analysed", f"FakeLab has a bug: {words}", "Use --debug.")
            )
            return
        self.diary.result(analysis, "url" if isinstance(path, Link) else "path")
        verdict = analysis.verdict
        self.levels[verdict.level.value] += 1
        if verdict.p_fake is None:
            self.silent.append((path, " ".join(reason.text for reason in verdict.reasons) or verdict.sentence))
        if self.output.result(path, analysis) is not None:
            print(f"{verdict.level.value:<20} {score(verdict.p_fake):>5}  {safe(str(path))}")

    def _analysis(self, source: Source, progress: Progress) -> Analysis:
        from fakelab.analyze import analyze as analyze_file

        if isinstance(source, Path):
            return analyze_file(source, settings=self.settings, progress=progress)
        progress("fetch", 0, None)
        with fetched(source, self.keep, self.settings.upload_mb << 20) as file:
            analysis = analyze_file(file, settings=self.settings, progress=progress)
        if self.keep is not None:
            return analysis
        # The file is gone: what leads to it is the link.
        return replace(analysis, file=replace(analysis.file, path=source.url))

    def _failed(self, path: Source, error: FakeLabError) -> None:
        self.bad.append((path, error))
        self.diary.failure(path, error)
        self.output.failure(path, error)

    def _sum_up(self, inputs: Inputs) -> None:
        """The summary and the list of bad files, on stderr."""
        lost = [(path, str(error)) for path, error in self.bad] + self.silent
        parts = [f"{count} {level}" for level, count in self.levels.items() if level != "not_analysable"]
        parts += [f"{len(lost)} could not be analysed"] if lost else []
        parts += [f"{inputs.others} other files left out"] if inputs.others else []
        seen = len(inputs.files) + len(inputs.bad)
        print(
            f"{seen} {'file' if seen == 1 else 'files'}: {', '.join(parts) or 'nothing to analyse'}.", file=sys.stderr
        )
        if lost:
            print("Could not be analysed:", file=sys.stderr)
        for path, why in lost:
            print(f"  {safe(str(path))}\n      {safe(why)}", file=sys.stderr)

    def _exit_code(self) -> int:
        judged = sum(count for level, count in self.levels.items() if level != "not_analysable")
        if not judged:
            return 4
        reached = FAIL_ON[: FAIL_ON.index(self.fail_on) + 1] if self.fail_on else ()
        if any(self.levels[level] for level in reached):
            return 1
        return 3 if self.bad or self.silent else 0
