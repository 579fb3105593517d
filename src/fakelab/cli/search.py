"""``fakelab search``: a face store and a space of settings -> trials, and the configuration that is best on val."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fakelab.cli.options import flag
from fakelab.cli.terminal import bar, make_app, safe
from fakelab.cli.train import log, require_extra
from fakelab.errors import UsageError

app = make_app("Search for the settings of a training (needs the extra 'train').")


@app.command()
def search(
    out: Annotated[Path, flag("--out", "FOLDER", "Folder of the search. One in it goes on where it was cut off.")],
    store: Annotated[str | None, flag("--store", "FOLDER", "Folder of the face store.")] = None,
    space: Annotated[
        Path | None, flag("--space", "FILE", "TOML file of fixed and drawn settings. [default: the space of 2020]")
    ] = None,
    trials: Annotated[int | None, flag("--trials", "N", "Configurations that are drawn. [default: 27]")] = None,
    budgets: Annotated[
        str | None, flag("--budgets", "STEPS,...", "Steps of the rungs, rising. [default: 100,300,900]")
    ] = None,
    keep: Annotated[
        float | None, flag("--keep", "SHARE", "Share of a rung's trials that goes on to the next. [default: 1/3]")
    ] = None,
    seed: Annotated[int, flag("--seed", "N", "Seed of the trials and of each training. [default: 0]")] = 0,
    twins: Annotated[str | None, flag("--twins", "FOLDER", "Folder of the twins.")] = None,
    network: Annotated[str | None, flag("--network", "NAME", "Network of every trial.")] = None,
    init: Annotated[str | None, flag("--init", "START", "clip, imagenet, none or a file, for every trial.")] = None,
    pairs: Annotated[int | None, flag("--pairs", "N", "Pairs in a step, for every trial: then not drawn.")] = None,
    check_pairs: Annotated[
        int | None, flag("--check-pairs", "N", "Pairs of val that a trial is judged by. [default: 120]")
    ] = None,
    threads: Annotated[int | None, flag("--threads", "N", "Processor threads. [default: all cores]")] = None,
) -> int:
    """Draw configurations, train each a little, and go on with the best on val: random search, successive halving.

    In --space a setting of `fakelab train --config` may be a list of choices, or { low = .., high = .., log = true }.
    The folder then holds results.csv, parallel.png and best.toml, which `fakelab train --config` takes.
    """
    require_extra()
    from fakelab.training.search import BUDGETS, KEEP, TRIALS, Search
    from fakelab.training.space import read_space

    fixed = {
        "store": store, "twins": twins, "network": network, "init": init, "pairs": pairs, "check_pairs": check_pairs,
        "threads": threads,
    }  # fmt: skip
    with bar("Search") as progress:
        made = Search(
            read_space(space, **fixed),
            out,
            trials=TRIALS if trials is None else trials,
            budgets=BUDGETS if budgets is None else _numbers(budgets),
            keep=KEEP if keep is None else keep,
            seed=seed,
            log=log,
            progress=progress,
        )
        best = made.run()
    table, chosen, folder = (
        safe(str(out / "results.csv")),
        safe(str(out / "best.toml")),
        safe(str(made.trial_folder(best))),
    )
    print(f"Best on val: trial {best.number}, AUC {best.last_auc:.3f} at step {best.steps}. Every trial: {table}")
    print(f"Val flatters the best of {len(made.trials)}: measure it on files that chose nothing.")
    print(f"Its model, without training again: fakelab train --config {chosen} --out {folder}")
    return 0


def _numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise UsageError(
            f"the budgets cannot be '{text}'", "", "Give whole numbers, as --budgets 100,300,900."
        ) from None
