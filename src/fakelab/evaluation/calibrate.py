"""Calibration and lines from measured files: a card's numbers, and how often they are wrong on sources left out.

The slope and offset are Platt's (1999), fitted with every source weighing the same; an isotonic curve takes their
place where its probabilities come true better on sources left out of fitting. The line for a level is the score
that at most the stated share of genuine files reaches, sources weighing the same. What the card states as its
error rate is not that share but the one found when each source in turn is left out of fitting and judged by the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import replace_file
from fakelab.errors import UsageError, unknown_name
from fakelab.evaluation.isotonic import Curve, balanced, isotonic
from fakelab.evaluation.known import strangers
from fakelab.evaluation.metrics import Bin, even_ece, reliability
from fakelab.evaluation.plots import reliability_svg
from fakelab.evaluation.run import read_results
from fakelab.models.card import NEVER, read_card, write_card

MIN_REALS = 20
STRONG_FPR, MODERATE_FPR, UNSURE_FPR = 0.01, 0.05, 0.20

METHODS = ("auto", "platt", "isotonic")
HIGHEST = ("strong", "moderate")
"""The highest level that a model may give."""
LEAST_GAIN = 0.01
"""The curve must state probabilities better by this much than the line: it has more freedom to fit what is chance."""

GATED = frozenset(
    (
        "face_small",
        "blurred",
        "dark",
        "too_short",
        "few_colours",
        "many_people",
        "low_bitrate",
        "face_too_small",
        "picture_small",
        "picture_dark",
        "picture_too_small",
    )
)
"""The verdict's reasons that make a file inconclusive, whatever its score."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Slope and offset of the evidence, lines as probabilities, and the leave-source-out rates with their counts."""

    slope: float
    offset: float
    strong: float
    moderate: float
    unsure: float
    false_alarms_strong: float
    false_alarms_moderate: float
    reals: int
    real_sources: int
    fakes: int
    knots: tuple[tuple[float, float], ...] = ()
    """Of the isotonic curve; empty where the straight line is used."""
    ece: float = float("nan")
    """On sources left out of fitting, both classes weighing the same; not a number where none could be left out."""
    ece_of: dict[str, float] = field(default_factory=dict)
    """The same by method, for those that were compared."""
    ece_by_chance: tuple[float, float] = (float("nan"), float("nan"))
    """What a perfectly calibrated model with these scores would show: the mean, and what 95 % of draws stay below."""
    reliability: tuple[Bin, ...] = ()
    with_copies: bool = False
    """Whether degraded copies stand beside the files; `reals` and `fakes` count files alone."""


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def is_gated(result: Mapping[str, Any]) -> bool:
    """Whether a reason of the gate kept this file from any level of evidence."""
    return any(code in GATED for code in result.get("reasons", ()))


def source_weights(sources: NDArray[np.str_]) -> Floats:
    """One weight per file, so that every source weighs as much as the root of its size: big ones more, but not all."""
    _, which, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1.0 / np.sqrt(counts[which])
    return np.asarray(weights / weights.sum() * len(sources), dtype=np.float64)


def platt(logits: Floats, fake: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Slope and offset of the logistic regression of `fake` on `logits`, classes weighing the same."""
    weights = balanced(weights, fake)
    centre, scale = float(np.average(logits, weights=weights)), float(logits.std() or 1.0)
    x = np.stack([(logits - centre) / scale, np.ones_like(logits)], 1)
    beta = np.zeros(2)
    ridge = np.diag([1e-3 * len(logits), 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weights * (p - fake)) + ridge @ beta
        hessian = (x.T * (weights * p * (1 - p))) @ x + ridge + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-9:
            break
    slope = float(max(beta[0], 1e-3) / scale)
    return slope, float(beta[1] - slope * centre)


def weighted_line(reals: Floats, weights: Floats, share: float) -> float:
    """The lowest score that at most `share` of the weight of `reals` reaches."""
    order = np.argsort(-reals)
    above = np.cumsum(weights[order]) / weights.sum()
    at = int(np.searchsorted(above, share, "right"))
    if at == 0:
        # Fewer files than the share can resolve: above the highest, by the gap that separates the highest two.
        return float(reals[order[0]] + max(0.05, reals[order[0]] - reals[order[min(1, len(order) - 1)]]))
    return float((reals[order[at - 1]] + reals[order[min(at, len(order) - 1)]]) / 2 + 1e-9)


def calibrate(results: list[dict[str, Any]], method: str = "auto") -> Calibrated:
    """Calibration from `evaluation.run` results of one media kind. Raises UsageError when there are too few.

    Files that could not be scored are left out; they are counted in the report, not here. Files that the gate keeps
    from any level of evidence (a GIF, a face too small) move neither the calibration nor the lines, which are for files
    that are judged by them; among the genuine files that a rate counts they are no alarm. Results with a true `copy`
    are degraded copies of other files: they move calibration, lines and rates as files do, and count as no further
    file, since a copy says little that its file does not. Files whose faces the model was trained on are left out.
    """
    results = strangers(results)
    scored = [each for each in results if each["logit"] is not None]
    genuine = {each["source"] for each in scored if each["label"] == "real"}
    gated = sum(each["label"] == "real" and is_gated(each) for each in scored)
    scored = [each for each in scored if not is_gated(each)]
    logits = np.array([each["logit"] for each in scored], np.float64)
    fake = np.array([each["label"] == "fake" for each in scored], bool)
    sources = np.array([each["source"] for each in scored])
    reals = int((~fake).sum())
    if reals < MIN_REALS or not fake.any():
        raise UsageError(
            "too few files to calibrate on", f"{reals} real, {int(fake.sum())} fake", f"Give {MIN_REALS} real."
        )
    people = np.log(np.maximum([each["people"] for each in scored], 1))
    files = _Files(logits, people, fake, sources)
    chosen, errors, bins, chance = _choose(files, method)
    curve, strong, moderate, unsure = _fit(files, chosen)
    wrong_strong, wrong_moderate = (share * reals / (reals + gated) for share in _left_out(files, chosen))
    originals = [each for each in results if each["logit"] is not None and not each.get("copy")]
    counted = sum(each["label"] == "real" for each in originals)
    if counted < MIN_REALS:
        raise UsageError("too few files to calibrate on", f"{counted} real beside copies", f"Give {MIN_REALS} real.")
    return Calibrated(
        curve.slope,
        curve.offset,
        _sigmoid(strong),
        _sigmoid(moderate),
        _sigmoid(unsure),
        wrong_strong,
        wrong_moderate,
        counted,
        len(genuine),
        sum(each["label"] == "fake" and not is_gated(each) for each in originals),
        curve.knots,
        errors.get(chosen, float("nan")),
        errors,
        chance,
        tuple(bins),
        with_copies=any(each.get("copy") for each in scored),
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """What is fitted on, one entry a file; `people` as logarithms."""

    logits: Floats
    people: Floats
    fake: NDArray[np.bool_]
    sources: NDArray[np.str_]

    def only(self, which: NDArray[np.bool_]) -> _Files:
        return _Files(self.logits[which], self.people[which], self.fake[which], self.sources[which])


def _curve(files: _Files, method: str) -> Curve:
    weights = source_weights(files.sources)
    line = Curve(*platt(files.logits, files.fake, weights))
    return line if method == "platt" else isotonic(files.logits, files.fake, weights, line)


def _choose(files: _Files, method: str) -> tuple[str, dict[str, float], list[Bin], tuple[float, float]]:
    """The method, each one's error on sources left out, the reliability of the one that is chosen, and its chance."""
    errors, bins, chance = {}, {}, {}
    for each in METHODS[1:] if method == "auto" else (method,):
        p, fake = _stated_for_others(files, each)
        if not fake.any() or fake.all():
            continue
        errors[each], mean, most = even_ece(p, fake)
        chance[each] = mean, most
        bins[each] = reliability(p, fake, weights=balanced(np.ones(len(p)), fake))
    chosen = method
    if method == "auto":
        better = errors.get("isotonic", np.inf) <= errors.get("platt", -np.inf) - LEAST_GAIN
        chosen = "isotonic" if better else "platt"
    return chosen, errors, bins.get(chosen, []), chance.get(chosen, (float("nan"), float("nan")))


def _stated_for_others(files: _Files, method: str) -> tuple[Floats, NDArray[np.bool_]]:
    """p_fake of every file by the curve of all other sources, and which of them are fakes."""
    p, fake = [], []
    for _, mine, rest in _each_source(files):
        curve = _curve(rest, method)
        p.append(1 / (1 + np.exp(-(curve.evidence(mine.logits) - mine.people))))
        fake.append(mine.fake)
    return (np.concatenate(p), np.concatenate(fake)) if p else (np.zeros(0), np.zeros(0, bool))


def _each_source(files: _Files) -> Iterator[tuple[str, _Files, _Files]]:
    """Every source's name and files, and all other files, where these are of both classes."""
    for name in np.unique(files.sources):
        rest = files.only(files.sources != name)
        if rest.fake.any() and not rest.fake.all():
            yield str(name), files.only(files.sources == name), rest


def _fit(files: _Files, method: str) -> tuple[Curve, float, float, float]:
    curve = _curve(files, method)
    genuine = files.only(~files.fake)
    evidence = curve.evidence(genuine.logits) - genuine.people
    own = source_weights(genuine.sources)
    lines = [weighted_line(evidence, own, share) for share in (STRONG_FPR, MODERATE_FPR, UNSURE_FPR)]
    # A level of evidence is never given for less than even odds, however low the genuine files score.
    strong, moderate, unsure = max(lines[0], 1.0), max(lines[1], 0.0), lines[2]
    return curve, max(strong, moderate), moderate, min(unsure, moderate)


def _left_out(files: _Files, method: str) -> tuple[float, float]:
    """Shares of genuine files over the strong and the moderate line, each source judged by the others' lines."""
    strong_hits, moderate_hits, total = 0, 0, 0
    for _, mine, rest in _each_source(files):
        if mine.fake.all():
            continue
        curve, strong, moderate, _ = _fit(rest, method)
        genuine = mine.only(~mine.fake)
        evidence = curve.evidence(genuine.logits) - genuine.people
        strong_hits += int((evidence >= strong).sum())
        moderate_hits += int((evidence >= moderate).sum())
        total += len(evidence)
    return strong_hits / max(1, total), moderate_hits / max(1, total)


def calibrate_card(
    folder: Path, results: dict[str, Path], method: str = "auto", *, highest: str = "strong"
) -> list[str]:
    """Writes what `results` (media kind -> file of `evaluation.run`) give into the folder's card; the lines to print.

    The card's reliability diagram is drawn beside it, as reliability-KIND.svg.
    `method` is platt, isotonic, or auto for the better of the two. With `highest` moderate, for an experimental model,
    moderate evidence is given from the line for strong evidence on, and strong evidence never. Raises UsageError for
    results that cannot be used, UnknownNameError for a method or level, ModelError for a card that cannot be used.
    """
    if method not in METHODS:
        raise unknown_name("method of calibration", method, METHODS)
    if highest not in HIGHEST:
        raise unknown_name("highest level", highest, HIGHEST)
    card = read_card(folder / "card.json")
    calibration, thresholds, printed = dict(card.calibration), dict(card.thresholds), []
    for kind, path in results.items():
        found = calibrate(read_results(path), method)
        calibration[kind] = _as_card(found)
        thresholds[kind] = _lines(found, kind, highest)
        if found.reliability:
            drawn = reliability_svg(
                found.reliability, f"{card.name}: {kind}s of sources left out, classes weighed alike"
            )
            replace_file(folder / f"reliability-{kind}.svg", (drawn + "\n").encode("utf-8"))
        compared = ", ".join(f"{name} {value:.3f}" for name, value in found.ece_of.items()) or "not measured"
        if found.ece_of:
            compared += " (by chance {:.3f}, 95 % below {:.3f})".format(*found.ece_by_chance)
        printed.append(
            f"{kind}: {'isotonic' if found.knots else 'platt'}, slope {found.slope:.3f}, offset {found.offset:+.3f},"
            f" ECE on sources left out: {compared}; {thresholds[kind]['error_rates']['all']}"
        )
    write_card(dataclasses.replace(card, calibration=calibration, thresholds=thresholds), folder)
    return printed


def _lines(found: Calibrated, kind: str, highest: str) -> dict[str, Any]:
    """What a card states of a kind's lines."""
    rates = error_rates(found, kind)
    if highest == "strong":
        lines = {"strong": found.strong, "moderate": found.moderate, "unsure": found.unsure}
        return lines | {"error_rates": rates}
    only = rates["strong_evidence"].replace("strong evidence", "moderate evidence, the highest that is given")
    lines = {"strong": NEVER, "moderate": found.strong, "unsure": min(found.moderate, found.strong)}
    return lines | {"error_rates": {"moderate_evidence": only, "all": only}}


def error_rates(found: Calibrated, kind: str) -> dict[str, str]:
    """The sentences that a card states for each level."""
    files = f"{found.reals} files and a degraded copy of each" if found.with_copies else f"{found.reals} files"
    what = f"genuine {kind}s of {found.real_sources} sources ({files}), each source judged without itself"
    strong = f"{_of(found.false_alarms_strong, found.reals)} of {what} reach strong evidence"
    moderate = f"{_of(found.false_alarms_moderate, found.reals)} of {what} reach moderate or strong evidence"
    return {"strong_evidence": f"{strong}.", "moderate_evidence": f"{moderate}.", "all": f"{moderate}; {strong}."}


def _of(share: float, count: int) -> str:
    low, high = wilson(share, count)
    return f"{100 * share:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _as_card(found: Calibrated) -> dict[str, Any]:
    """What a card states of a kind's calibration: `verdict.rules_of` reads slope, offset and curve."""
    own: dict[str, Any] = {"slope": found.slope, "offset": found.offset}
    if found.knots:
        own["curve"] = [[round(x, 5), round(y, 5)] for x, y in found.knots]
    own |= {"method": "isotonic" if found.knots else "platt"}
    if np.isfinite(found.ece):
        own["ece"] = round(found.ece, 4)
        own["ece_by_chance"] = [round(each, 4) for each in found.ece_by_chance]
        own["ece_by_method"] = {name: round(value, 4) for name, value in found.ece_of.items()}
        own["reliability"] = [[round(b.stated, 4), round(b.came_true, 4), b.files] for b in found.reliability]
    return own | {"reals": found.reals, "real_sources": found.real_sources, "fakes": found.fakes}
