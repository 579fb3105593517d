"""What a card states of a model, filled in from results: nobody writes a number by hand.

The metrics of a set come from a file of `fakelab evaluate`, whole or narrowed to the files of a list, and the weak
spots name every kind of forgery that was measured to be missed. Words that no result holds (the licence of a data set,
say) come from a TOML file of facts.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import UsageError
from fakelab.evaluation.known import is_known, strangers
from fakelab.evaluation.metrics import auc, eer, refuse_hard_predictions, roc, tpr_at_fpr, with_interval
from fakelab.evaluation.run import read_list, read_results
from fakelab.evaluation.tables import EVIDENCE, MIN_FILES, Result, arrays, worst_case
from fakelab.models.card import read_card, write_card
from fakelab.records import ModelCard

FACTS = ("name", "version", "summary", "task", "licence", "data", "weak_spots", "training", "protocol")
ROC_POINTS = 50
WEAK_AUC = 0.75
"""A kind of forgery below this is named as a weak spot."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """A set's name and the results that speak for it."""

    name: str
    results: tuple[Result, ...]


def read_measurement(words: str) -> Measurement:
    """`NAME=RESULTS`, or `NAME=RESULTS@LIST` for the files of a list alone. Raises UsageError."""
    name, _, rest = words.partition("=")
    path, _, narrowed = rest.partition("@")
    if not name or not path:
        raise UsageError(f"'{words}' names no results", "", "Write NAME=RESULTS or NAME=RESULTS@LIST.")
    results = read_results(Path(path))
    if narrowed:
        wanted = {row["path"]: row for row in read_list(Path(narrowed))}
        missing = wanted.keys() - {each["path"] for each in results}
        if missing:
            raise UsageError(f"'{path}' lacks files of '{narrowed}'", f"such as {min(missing)}", "Evaluate them first.")
        results = [{**each, **wanted[each["path"]]} for each in results if each["path"] in wanted]
    return Measurement(name, tuple(results))


def measured(results: Sequence[Result], thresholds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A set's row of the card: counts, video AUC with its 95 % interval, EER, what reached evidence, per forgery.

    The levels are left out where they were given by other lines than the card's `thresholds`. Raises UsageError for
    hard predictions. Files whose faces the model was trained on are left out, and counted.
    """
    known, results = sum(map(is_known, results)), strangers(results)
    reals = [each for each in results if each["label"] == "real"]
    fakes = [each for each in results if each["label"] == "fake"]
    scored = [each for each in results if each["p_fake"] is not None]
    row: dict[str, Any] = {"real": len(reals), "fake": len(fakes), "not_analysable": len(results) - len(scored)}
    row |= {"known_left_out": known} if known else {}
    if min(len(reals), len(fakes)) >= MIN_FILES:
        p, fake, groups = arrays(scored)
        refuse_hard_predictions(p)
        found = with_interval(auc, p, fake, groups)
        row |= {"auc": _round(found.value), "auc_interval": [_round(found.low), _round(found.high)]}
        row["eer"] = _round(eer(p, fake))
        row["auc_worst_case"] = _round(auc(*arrays(worst_case(results))[:2]))
        row["tpr_at_5_percent_fpr"] = _round(tpr_at_fpr(p, fake, 0.05))
        row["roc"] = roc_points(p, fake)
    if _by_these_lines(scored, thresholds):
        for name, part in (("real", reals), ("fake", fakes)):
            if part:
                share = sum(each["level"] in EVIDENCE for each in part) / len(part)
                row[f"{name}_at_moderate_or_strong"] = _round(share)
    per_forgery = {
        kind: _round(auc(*arrays([each for each in scored if each["label"] == "real" or each["forgery"] == kind])[:2]))
        for kind in sorted({str(each.get("forgery") or "") for each in fakes})
        if kind and len(reals) >= MIN_FILES and sum(each["forgery"] == kind for each in fakes) >= MIN_FILES
    }
    return row | ({"per_forgery": per_forgery} if per_forgery else {})


def roc_points(p: NDArray[np.float64], fake: NDArray[np.bool_]) -> list[list[float]]:
    """At most ROC_POINTS corners [share of genuine files, share of fakes] of the ROC curve, from (0, 0) to (1, 1)."""
    reals, fakes = roc(p, fake)
    # The highest corner of each step to the right says all, and evenly chosen ones draw the same curve.
    last = np.append(np.flatnonzero(np.diff(reals)), len(reals) - 1)
    kept = last[np.unique(np.linspace(0, len(last) - 1, min(ROC_POINTS - 1, len(last))).round().astype(int))]
    return [[0.0, 0.0], *([_round(reals[at]), _round(fakes[at])] for at in kept)]


def weak_spots(metrics: Mapping[str, Any]) -> list[str]:
    """One sentence for each kind of forgery, and for each set, that was measured below `WEAK_AUC`."""
    found = []
    for name, row in metrics.items():
        if not isinstance(row, dict):
            continue
        if row.get("auc", 1.0) < WEAK_AUC:
            low, high = row["auc_interval"]
            found.append(
                f"{name}: AUC {row['auc']:.2f} ({low:.2f} to {high:.2f}); many forgeries of this set are missed."
            )
        for kind, value in row.get("per_forgery", {}).items():
            if value < WEAK_AUC:
                found.append(f"{name}, {kind}: AUC {value:.2f}.")
    return found


def fill_card(folder: Path, measurements: Sequence[Measurement], facts: Path | None) -> ModelCard:
    """Writes metrics, the weak spots that follow from them, and facts into the folder's card, and returns it.

    Raises UsageError for results of another model than the folder's, and for facts that cannot be used.
    """
    card = read_card(folder / "card.json")
    words = _read_facts(facts) if facts else {}
    protocol = words.pop("protocol", None)
    metrics: dict[str, Any] = {"protocol": protocol} if protocol else {}
    for each in measurements:
        _refuse_another_model(card, each)
        metrics[each.name] = measured(each.results, card.thresholds)
    changes: dict[str, Any] = {"metrics": metrics} if measurements else {}
    said = list(words.pop("weak_spots", ()))
    if measurements or said:
        changes["weak_spots"] = tuple(weak_spots(metrics) + said)
    if "data" in words:
        words["data"] = tuple(words["data"])
    if "training" in words:
        words["training"] = {**card.training, **words["training"]}
    filled = dataclasses.replace(card, **changes, **words)
    write_card(filled, folder)
    return filled


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the facts {path} cannot be read", str(error), "Give a TOML file.") from error
    unknown = sorted(facts.keys() - set(FACTS))
    if unknown:
        why = f"{', '.join(unknown)} cannot be stated there"
        raise UsageError(f"the facts {path} cannot be used", why, f"They may hold {', '.join(FACTS)}.")
    return facts


def _refuse_another_model(card: ModelCard, measurement: Measurement) -> None:
    own = {digest[:12] for digest in card.files.values()}
    for each in measurement.results:
        made_by = each.get("made_by")
        if made_by and made_by.split(",")[0].split()[-1] not in own:
            raise UsageError(
                f"the results of {measurement.name} are of another model", made_by, "Evaluate the folder's model."
            )


def _by_these_lines(scored: Sequence[Result], thresholds: Mapping[str, Mapping[str, Any]]) -> bool:
    lines = {(each["measured"].get("threshold_moderate"), each["kind"]) for each in scored if "kind" in each}
    stated = [(line, thresholds.get(kind, {}).get("moderate")) for line, kind in lines]
    # A line that went through the logarithm of its odds and back is the same line.
    return bool(stated) and all(a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6) for a, b in stated)


def _round(value: float) -> float:
    return round(float(value), 3)
