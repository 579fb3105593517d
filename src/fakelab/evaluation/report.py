"""Results of an evaluation -> one page that can be read, printed and checked: HTML, Markdown and numbers as JSON.

Every interval is over files, drawn by group (identities, originals), never over frames. Shares of levels are shares of
all files, those that could not be analysed included; what needs a score says of how many files it speaks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.data.manifest import replace_file
from fakelab.evaluation.compare import compare
from fakelab.evaluation.document import Document, Figure, Section, Table, write_document
from fakelab.evaluation.metrics import (
    Interval,
    Metric,
    accuracy,
    auc,
    average_precision,
    balanced_accuracy,
    brier,
    clopper_pearson,
    ece,
    eer,
    even_ece,
    refuse_hard_predictions,
    reliability,
    tpr_at_fpr,
    with_interval,
)
from fakelab.evaluation.plots import Operating, intervals_svg, reliability_svg, roc_svg
from fakelab.evaluation.tables import EVEN_ECE, EVIDENCE, MIN_FILES, Result, arrays, flattered, worst_case
from fakelab.records import Level, ModelCard

BY = ("forgery", "source")
"""What an evaluation is broken down by unless told otherwise."""
METRICS: dict[str, Metric] = {
    "AUC": auc,
    "average precision": average_precision,
    "EER": eer,
    "accuracy at p_fake .5": accuracy,
    "balanced accuracy at p_fake .5": balanced_accuracy,
    "fakes found at 1 % false alarms": partial(tpr_at_fpr, fpr=0.01),
    "fakes found at 5 % false alarms": partial(tpr_at_fpr, fpr=0.05),
    "ECE (15 bins)": ece,
    "Brier score": brier,
}
LINES: dict[str, tuple[Level, ...]] = {"strong": (Level.STRONG,), "moderate or strong": EVIDENCE}
"""The stated lines: what is called fake there is a file that reaches one of these levels."""


def write_report(
    results: Sequence[Result],
    folder: Path,
    *,
    title: str,
    by: Sequence[str] = BY,
    others: Sequence[Result] | None = None,
    card: ModelCard | None = None,
    notes: Sequence[str] = (),
    rounds: int = 2000,
) -> list[Path]:
    """Writes report.html, report.md, their figures and numbers.json into `folder`; returns the first two and the last.

    `by` names columns of the results to break down by, `others` are results of another model on the same files, and
    `notes` are printed at the top. Raises UsageError for hard predictions and for results that cannot be compared.
    """
    numbers: dict[str, Any] = {"title": title, "files": len(results)}
    notes = [each for each in (*notes, flattered(results, rounds=rounds)) if each]
    sections = [
        _overall(results, rounds, notes, numbers),
        _lines(results, rounds, numbers),
        _levels(results, numbers),
        *_curves(results),
        *(_broken_down(results, column, rounds, numbers) for column in by),
    ]
    if others is not None:
        sections.append(_compared(results, others, rounds, numbers))
    sections += [_missing(results), _protocol(results, card)]
    folder.mkdir(parents=True, exist_ok=True)
    written = write_document(Document(title, tuple(sections)), folder)
    replace_file(folder / "numbers.json", (json.dumps(_finite(numbers), indent=2) + "\n").encode("utf-8"))
    return [*written, folder / "numbers.json"]


def scored_of(results: Sequence[Result]) -> list[Result]:
    """The results that have a score."""
    return [each for each in results if each["p_fake"] is not None]


def _of(results: Sequence[Result], label: str) -> list[Result]:
    return [each for each in results if each["label"] == label]


def _sources(results: Sequence[Result]) -> str:
    count = len({each["source"] for each in results})
    return f"{count} source{'s' * (count != 1)}"


def _measurable(results: Sequence[Result]) -> bool:
    return min(len(_of(results, "real")), len(_of(results, "fake"))) >= MIN_FILES


def _overall(results: Sequence[Result], rounds: int, notes: Sequence[str], numbers: dict[str, Any]) -> Section:
    scored = scored_of(results)
    groups = len({f"{each['source']}:{each['group']}" for each in results})
    reals, fakes = len(_of(results, "real")), len(_of(results, "fake"))
    missing = len(results) - len(scored)
    words = (
        f"{reals} real and {fakes} fake files of {groups} groups (people or originals) and"
        f" {_sources(results)}. Not analysable: {missing} of {len(results)}"
        f" ({_percent(missing, len(results))}).",
        "Intervals are 95 % bootstrap intervals; groups of files are drawn, never single frames.",
    )
    numbers |= {"real": reals, "fake": fakes, "groups": groups, "not_analysable": missing}
    if not _measurable(scored):
        few = f"Fewer than {MIN_FILES} files of a kind could be scored: nothing is measured."
        return Section("Overall", (*notes, *words, few))
    p, fake, names = arrays(scored)
    refuse_hard_predictions(p)
    found = {name: with_interval(metric, p, fake, names, rounds=rounds) for name, metric in METRICS.items()}
    worst = with_interval(auc, *arrays(worst_case(results)), rounds=rounds)
    rows = [(name, str(each), str(len(scored))) for name, each in found.items()]
    rows.insert(1, ("AUC, unscored files worst-case", str(worst), str(len(results))))
    error, mean, most = even_ece(p, fake)
    rows.append((EVEN_ECE, f"{error:.3f} ({mean:.3f}, {most:.3f})", str(len(p))))
    numbers["even_ece"] = {"value": error, "by_chance": mean, "by_chance_95": most}
    numbers["metrics"] = {name: asdict(each) for name, each in found.items()}
    numbers["metrics"]["AUC, unscored files worst-case"] = asdict(worst)
    return Section("Overall", (*notes, *words), (Table(("", "value (95 % interval)", "files"), tuple(rows)),))


def _lines(results: Sequence[Result], rounds: int, numbers: dict[str, Any]) -> Section:
    """Accuracy where the model's card draws its lines, of the files that were scored."""
    scored = scored_of(results)
    rows, kept = [], {}
    for name, levels in LINES.items():
        if not _measurable(scored):
            break
        _, fake, names = arrays(scored)
        reached = np.array([each["level"] in levels for each in scored], np.float64)
        right = with_interval(accuracy, reached, fake, names, rounds=rounds)
        balanced = with_interval(balanced_accuracy, reached, fake, names, rounds=rounds)
        caught = f"{_percent(int(reached[fake].sum()), int(fake.sum()))}"
        alarms = f"{_percent(int(reached[~fake].sum()), int((~fake).sum()))}"
        rows.append((name, str(right), str(balanced), caught, alarms))
        kept[name] = {"accuracy": asdict(right), "balanced_accuracy": asdict(balanced)}
    numbers["at_the_cards_lines"] = kept
    lines = sorted({(each["kind"], *_drawn(each)) for each in scored if "kind" in each and _drawn(each)})
    words = [
        "A file is called fake where its verdict reaches the level; what the gate or the stability test holds back is"
        " not called fake. Of the files that were scored."
    ]
    words += [f"{kind}: moderate from p_fake {low:.3f}, strong from {high:.3f}." for kind, low, high in lines]
    columns = ("level reached", "accuracy", "balanced accuracy", "fakes called fake", "genuine files called fake")
    return Section("At the lines that the card states", tuple(words), (Table(columns, tuple(rows)),) if rows else ())


def _drawn(result: Result) -> tuple[float, ...]:
    measured = result.get("measured", {})
    names = ("threshold_moderate", "threshold_strong")
    return tuple(float(measured[name]) for name in names) if all(name in measured for name in names) else ()


def _levels(results: Sequence[Result], numbers: dict[str, Any]) -> Section:
    reals, fakes = _of(results, "real"), _of(results, "fake")
    rows, counts = [], {}
    wanted = [(str(level), (level,)) for level in Level] + [("strong or moderate", EVIDENCE)]
    for name, levels in wanted:
        real, fake = (sum(each["level"] in levels for each in part) for part in (reals, fakes))
        low, high = clopper_pearson(real, len(reals)) if reals else (float("nan"), float("nan"))
        rows.append(
            (name, _share(real, len(reals)), f"{100 * low:.1f} to {100 * high:.1f} %", _share(fake, len(fakes)))
        )
        counts[name] = {"real": real, "fake": fake, "real_low": low, "real_high": high}
    numbers["levels"] = counts
    words = (
        "Shares of all files, those that could not be analysed included. The interval of the genuine files is exact"
        " (Clopper and Pearson) and takes them for independent; its upper end is the bound on false alarms.",
    )
    columns = ("level", "real", "real, 95 % interval", "fake")
    return Section("Levels and false alarms", words, (Table(columns, tuple(rows)),))


def _curves(results: Sequence[Result]) -> list[Section]:
    scored = scored_of(results)
    if not _measurable(scored):
        return []
    p, fake, _ = arrays(scored)
    points = []
    for name, levels in LINES.items():
        reached = np.array([each["level"] in levels for each in scored], bool)
        points.append(Operating(name, float(reached[~fake].mean()), float(reached[fake].mean())))
    bins = reliability(p, fake)
    figures = (
        Figure("roc", "ROC curve over files; the circles are the levels of evidence.", roc_svg(p, fake, points)),
        Figure("reliability", "Stated probability and what came true, with 95 % intervals.", reliability_svg(bins)),
    )
    rows = tuple((f"{each.stated:.3f}", f"{each.came_true:.3f}", str(each.files)) for each in bins)
    words = (
        "The probabilities hold for a set in which half of the files are manipulated; where the share is another one,"
        f" as in this set ({fake.mean():.2f} fake), the reliability diagram shows that, too.",
    )
    table = Table(("p_fake, mean of the bin", "share of fakes", "files"), rows)
    return [Section("Curves", words, (table,), figures)]


def _broken_down(results: Sequence[Result], column: str, rounds: int, numbers: dict[str, Any]) -> Section:
    """One line a value of the column: where fakes alone have it, against all genuine files, else inside it."""

    def named(each: Result) -> str:
        return str(each.get(column) or "") or "unnamed"

    of_fakes = column == "forgery" or not any(each.get(column) for each in _of(results, "real"))
    reals = _of(results, "real")
    rows, bars = [], []
    for name in sorted({named(each) for each in (_of(results, "fake") if of_fakes else results)}):
        mine = [each for each in results if named(each) == name]
        fakes, own = _of(mine, "fake"), reals if of_fakes else _of(mine, "real")
        scored = scored_of([*own, *fakes])
        missing = sum(each["p_fake"] is None for each in (fakes if of_fakes else mine))
        value = f"not measured ({len(own)} real, {len(fakes)} fake)"
        if _measurable(scored):
            found = with_interval(auc, *arrays(scored), rounds=rounds)
            value = str(found)
            bars.append((name, found))
        caught = _share(sum(each["level"] in EVIDENCE for each in fakes), len(fakes))
        alarms = _bounded(sum(each["level"] in EVIDENCE for each in own), len(own))
        rows.append((name, f"{len(own)} / {len(fakes)}", value, caught, alarms, str(missing)))
    numbers[f"by_{column}"] = {name: asdict(each) for name, each in bars}
    words = "Each against all genuine files." if of_fakes else "Real and fake files of each alone."
    columns = (column, "real / fake", "AUC", "fakes at evidence", "real at evidence (95 %)", "not analysable")
    figures = (
        (Figure(f"auc-by-{_slug(column)}", f"AUC by {column}.", intervals_svg(bars, f"AUC by {column}")),)
        if bars
        else ()
    )
    return Section(f"By {column}", (words,), (Table(columns, tuple(rows)),), figures)


def _compared(results: Sequence[Result], others: Sequence[Result], rounds: int, numbers: dict[str, Any]) -> Section:
    found = compare(results, others, rounds=rounds)
    numbers["comparison"] = asdict(found)
    mine, theirs = _made_by(results), _made_by(others)
    rows = (
        (f"AUC of this evaluation ({mine})", f"{found.first:.3f}"),
        (f"AUC of the other ({theirs})", f"{found.second:.3f}"),
        ("difference, bootstrap over groups", _signed(found.difference)),
        ("difference, DeLong (files taken for independent)", f"{_signed(found.delong)}, p = {found.delong_p:.3f}"),
    )
    words = (
        f"On {found.reals} real and {found.fakes} fake files that both scored; {found.left_out} files are left out of"
        " the comparison. The same files are drawn for both.",
    )
    return Section("Compared with another evaluation", words, (Table(("", "value (95 % interval)"), rows),))


def _missing(results: Sequence[Result]) -> Section:
    failed = [each for each in results if each["p_fake"] is None]
    rows = tuple((Path(each["path"]).name, each["label"], each.get("forgery") or "", _why(each)) for each in failed)
    if not failed:
        return Section("Files that could not be analysed", ("None.",))
    causes = Counter(code for each in failed for code in each.get("reasons", ()))
    words = "By reason: " + ", ".join(f"{code} {count}" for code, count in causes.most_common()) + "."
    return Section("Files that could not be analysed", (words,), (Table(("file", "label", "forgery", "why"), rows),))


def _why(result: Result) -> str:
    return str(result.get("error") or ", ".join(result.get("reasons", ())) or result["level"])


def _protocol(results: Sequence[Result], card: ModelCard | None) -> Section:
    """What a number must be printed with, so that another can be set beside it."""

    def middle(name: str) -> str:
        return _median([each[name] for each in results if each.get(name)])

    rows = [
        ("made by", _made_by(results)),
        ("unit and score", "the file; the calibrated p_fake of fakelab analyze"),
        ("frames a file, median", middle("frames")),
        ("length, median", f"{middle('duration_s')} s"),
        ("time a file, median", f"{middle('seconds')} s"),
        ("bits per pixel, median", _median([each["measured"]["bits_per_pixel"] for each in results if _bits(each)])),
    ]
    if card is not None:
        crop = card.crop
        trained = ", ".join(each.get("name", "") for each in card.data) or "not stated"
        if crop.size_px:
            cut = f"{crop.size_px} px, margin {crop.margin:g} of the {crop.boxes_from} box, version {crop.version}"
            rows += [
                ("crop", cut),
                ("aggregation", "mean logit of a person's faces; the most suspicious person decides"),
            ]
        rows += [
            ("trained on", trained),
            ("lines and calibration from", "; ".join(_chosen_on(card)) or "not stated"),
        ]
    return Section("How it was measured", (), (Table(("", ""), tuple(rows)),))


def _chosen_on(card: ModelCard) -> list[str]:
    counts = [
        (kind, each.get("reals"), each.get("real_sources"), each.get("fakes"))
        for kind, each in card.calibration.items()
    ]
    return [f"{kind}: {real} real of {sources} sources, {fake} fake" for kind, real, sources, fake in counts if real]


def _bits(result: Result) -> bool:
    return bool(result.get("measured", {}).get("bits_per_pixel"))


def _made_by(results: Sequence[Result]) -> str:
    return ", ".join(sorted({each["made_by"] for each in results if each.get("made_by")})) or "nothing was scored"


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):.3g}" if values else "unknown"


def _signed(each: Interval) -> str:
    return f"{each.value:+.3f} ({each.low:+.3f} to {each.high:+.3f})"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"


def _share(count: int, total: int) -> str:
    return f"{count} ({_percent(count, total)})" if total else "-"


def _bounded(count: int, total: int) -> str:
    return f"{_share(count, total)}, at most {100 * clopper_pearson(count, total)[1]:.1f} %" if total else "-"


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text)


def _finite(value: Any) -> Any:
    """The numbers with null in place of what is no number, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
