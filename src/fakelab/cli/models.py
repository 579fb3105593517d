"""``fakelab models``: the table of models, their cards, and whether the weights are the ones that were published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.terminal import make_app, one_of, print_error, safe
from fakelab.errors import FakeLabError, ModelError
from fakelab.records import ModelCard

app = make_app("List the models, show a model's card, check the weights.")
_NAME = "Name of the model; 'fakelab models list' prints them all."


@app.command("list")
def list_models() -> int:
    """Print every model on a line: its name, its version and what it is for."""
    from fakelab.models.card import DEFAULT_MODEL, EVERY, load_card

    for name, line in EVERY.items():
        try:
            version = load_card(name).version
        except ModelError:
            version = "missing"
        print(f"{name:<15} {version:<9} {line}")
    print(f"\nDefault: {DEFAULT_MODEL}")
    return 0


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAME)],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
) -> int:
    """Print a model's card: what it is, how it was trained, how well it does, where it is weak."""
    from fakelab.models.card import card_as_json, load_card

    one_of("format", form, ("text", "json"))
    card = load_card(name)
    if form == "json":
        print(json.dumps(card_as_json(card), indent=2))
    else:
        print("\n".join(_card_lines(card)))
    return 0


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=f"{_NAME} Without one: all.")] = None,
) -> int:
    """Check the weights against the SHA-256 in the cards; exit code 4 when a file is missing or altered."""
    from fakelab.models.card import EVERY, verify

    sound = True
    for name in names or EVERY:
        try:
            rows = verify(name)
        except ModelError as error:
            print_error(error)
            sound = False
            continue
        for file, ok, detail in rows:
            print(f"{'ok     ' if ok else 'BROKEN '} {name:<15} {file}" + ("" if ok else f"  {safe(detail)}"))
            sound = sound and ok
    return 0 if sound else FakeLabError.exit_code


@app.command("average")
def average_models(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of tunings of the shared tower.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the mean goes.")],
) -> int:
    """Write the mean of several tunings as a model of its own, not calibrated yet.

    Runs that began at the same weights often make one model that is better than each, at the price of one.
    """
    from fakelab.training.average import average

    average(folders, out)
    print(
        f"The mean of {len(folders)} models is in {out}. It gives no level of evidence yet: fakelab evaluate, then "
        "fakelab calibrate."
    )
    return 0


def _card_lines(card: ModelCard) -> Iterator[str]:
    yield f"{card.name} {card.version}"
    yield card.summary
    yield ""
    yield f"Architecture  {card.architecture}"
    yield f"Task          {card.task}"
    crop = card.crop
    if crop.size_px:
        cut = f"{crop.margin:g} x the {crop.boxes_from} box" + (", eyes level" if crop.align else "")
        yield f"Crop          {crop.size_px} px, {cut} (cropper {crop.version})"
    yield f"Licence       {card.licence}"
    for title, values in (
        ("Calibration", card.calibration),
        ("Thresholds", card.thresholds),
        ("Limits of use", card.gate),
        ("Measured", card.metrics),
        ("Training", card.training),
    ):
        yield from _block(title, [f"{key}: {_value(value)}" for key, value in values.items()])
    yield from _block("Data", [", ".join(f"{key} {value}" for key, value in row.items()) for row in card.data])
    yield from _block("Weak spots", list(card.weak_spots))
    yield from _block("Files (SHA-256)", [f"{digest}  {file}" for file, digest in card.files.items()])


def _block(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        yield from (f"  {safe(line)}" for line in lines)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
