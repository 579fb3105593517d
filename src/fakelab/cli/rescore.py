"""``fakelab rescore``: the history done again with a newer model, and which verdicts changed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fakelab.cli.options import setting_flag
from fakelab.cli.runs import opened
from fakelab.cli.terminal import bar, make_app, safe, score

app = make_app("Analyse files of the history again with another model, and list what changed.")


@app.command()
def rescore(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Which runs, as in `fakelab history`; all without one.")
    ] = None,
    model: Annotated[str | None, setting_flag("model", "NAME")] = None,
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="Only runs with this level.")] = "",
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="Only runs with this tag.")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="DATE", help="Started then or later: 2026, 2026-11 ...")
    ] = "",
) -> int:
    """Analyse the files of the history again, keep the new runs, and list the verdicts that changed.

    A file that is no longer where it was, or has changed, is listed and left out. Exit code 3 if there was one, 4 if
    there were only such.
    """
    from fakelab.service.origin import who
    from fakelab.service.rerun import rescore as again
    from fakelab.service.runs import Search
    from fakelab.settings import read_settings

    chosen = read_settings(model=model).model
    done = changed = lost = 0
    with opened() as history, bar("Rescoring") as progress:
        for each in again(
            history,
            Search(" ".join(query or []), level=level, tag=tag, since=since),
            actor=who(),
            progress=progress,
            model=chosen,
        ):
            if each.again is None:
                lost += 1
                print(f"{each.before.id}  not done  {safe(each.before.name)}: {safe(each.why)}", file=sys.stderr)
                continue
            done += 1
            if each.changed:
                changed += 1
                was, now = each.before, each.again
                print(
                    f"{was.id} -> {now.id}  {was.level} {score(was.p_fake)} -> {now.level} {score(now.p_fake)}  "
                    f"{safe(now.name)}"
                )
    print(f"{done} analysed again with {chosen}, {changed} verdicts changed, {lost} not done.", file=sys.stderr)
    return 0 if not lost else 3 if done else 4
