"""Results -> an honest table: AUC with intervals, per forgery and source, levels reached, and what could not be scored.

Files that could not be scored are counted beside every number, and once more scored worst-case: a fake as the most
genuine, a genuine file as the most suspicious.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.evaluation.known import is_known, strangers
from fakelab.evaluation.metrics import (
    accuracy,
    auc,
    average_precision,
    brier,
    ece,
    eer,
    even_ece,
    refuse_hard_predictions,
    tpr_at_fpr,
    with_interval,
)
from fakelab.records import Level

Result = dict[str, Any]
MIN_FILES = 5
"""Below this many files of a kind, an AUC is no measurement."""
EVEN_ECE = "ECE, classes weighing alike (by chance alone, and its 95 % line)"
NAMED = 10
"""Of files that are listed in a sentence, so many by name."""
EVIDENCE = (Level.STRONG, Level.MODERATE)


def table(title: str, results: Sequence[Result], *, rounds: int = 2000) -> str:
    """A Markdown section: totals, levels, then one line per forgery against all genuine files, one per source."""
    fakes = [each for each in results if each["label"] == "fake"]
    reals = [each for each in results if each["label"] == "real"]
    missing = [each for each in results if each["p_fake"] is None]
    lines = [
        f"## {title}",
        "",
        f"{len(reals)} real, {len(fakes)} fake; not analysable {len(missing)} of {len(results)}",
    ]
    lines[-1] += f" ({100 * len(missing) / max(1, len(results)):.1f} %)"
    scored = [each for each in results if each["p_fake"] is not None]
    if told := flattered(results, rounds=rounds):
        lines += ["", told]
    if _enough(reals) and _enough(fakes):
        lines += ["", "| | value (95 % interval) |", "|---|---|"]
        lines.append(f"| AUC | {_auc(scored, rounds)} |")
        lines.append(f"| AUC, unscored files worst-case | {_auc(worst_case(results), rounds)} |")
        p, fake, _ = arrays(scored)
        refuse_hard_predictions(p)
        lines.append(f"| average precision | {average_precision(p, fake):.3f} |")
        lines.append(f"| accuracy at p_fake .5 | {accuracy(p, fake):.3f} |")
        lines.append(f"| EER | {eer(p, fake):.3f} |")
        lines.append(f"| TPR at 1 % / 5 % FPR | {tpr_at_fpr(p, fake, 0.01):.2f} / {tpr_at_fpr(p, fake, 0.05):.2f} |")
        lines.append(f"| ECE / Brier | {ece(p, fake):.3f} / {brier(p, fake):.3f} |")
        found, mean, most = even_ece(p, fake)
        lines.append(f"| {EVEN_ECE} | {found:.3f} ({mean:.3f}, {most:.3f}) |")
    lines += ["", "| level | real | fake |", "|---|---|---|"]
    for level in Level:
        counts = [sum(each["level"] == level for each in part) for part in (reals, fakes)]
        lines.append(f"| {level} | {_share(counts[0], len(reals))} | {_share(counts[1], len(fakes))} |")
    both = [sum(each["level"] in EVIDENCE for each in part) for part in (reals, fakes)]
    lines.append(f"| strong or moderate | {_share(both[0], len(reals))} | {_share(both[1], len(fakes))} |")
    lines += ["", "| forgery, against all genuine files here | n | AUC | strong or moderate |", "|---|---|---|---|"]
    lines += _rows(
        fakes, lambda each: each.get("forgery") or "unnamed", [r for r in scored if r["label"] == "real"], rounds
    )
    lines += [
        "",
        "| source | real | fake | AUC inside | real: mean logit | real at strong or moderate |",
        "|---|---|---|---|---|---|",
    ]
    for source in sorted({each["source"] for each in results}):
        lines.append(_source_row(source, [each for each in results if each["source"] == source], rounds))
    return "\n".join(lines) + "\n"


def flattered(results: Sequence[Result], *, rounds: int = 2000) -> str:
    """What a reader must know of files whose faces the model was trained on; empty where there is none."""
    known = [each for each in results if is_known(each)]
    if not known:
        return ""
    text = f"{len(known)} of these files show faces that the model was trained on: the numbers flatter."
    others = [each for each in strangers(results) if each["p_fake"] is not None]
    if all(_enough([each for each in others if each["label"] == label]) for label in ("real", "fake")):
        text += f" Without them the AUC is {_auc(others, rounds)}."
    names = sorted(Path(each["path"]).name for each in known)
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{text} They are {', '.join(names[:NAMED])}{rest}."


def worst_case(results: Sequence[Result]) -> list[Result]:
    """The results with unscored fakes at 0 and unscored genuine files at 1."""
    return [
        each if each["p_fake"] is not None else {**each, "p_fake": 0.0 if each["label"] == "fake" else 1.0}
        for each in results
    ]


def _rows(fakes: Sequence[Result], key: Callable[[Result], str], reals: list[Result], rounds: int) -> list[str]:
    rows = []
    for name in sorted({key(each) for each in fakes}):
        mine = [each for each in fakes if key(each) == name]
        scored = [each for each in mine if each["p_fake"] is not None]
        value = (
            _auc([*reals, *scored], rounds) if _enough(mine) and _enough(reals) else f"not measured (n = {len(mine)})"
        )
        caught = sum(each["level"] in EVIDENCE for each in mine)
        rows.append(f"| {name} | {len(mine)} | {value} | {_share(caught, len(mine))} |")
    return rows


def _source_row(source: str, mine: Sequence[Result], rounds: int) -> str:
    reals = [each for each in mine if each["label"] == "real"]
    fakes = [each for each in mine if each["label"] == "fake"]
    scored = [each for each in mine if each["p_fake"] is not None]
    value = _auc(scored, rounds) if _enough(reals) and _enough(fakes) else "-"
    logits = [each["logit"] for each in reals if each["logit"] is not None]
    mean = f"{np.mean(logits):+.2f}" if logits else "-"
    alarms = sum(each["level"] in EVIDENCE for each in reals)
    return f"| {source} | {len(reals)} | {len(fakes)} | {value} | {mean} | {_share(alarms, len(reals))} |"


def _auc(results: Sequence[Result], rounds: int) -> str:
    return str(with_interval(auc, *arrays(results), rounds=rounds))


def arrays(results: Sequence[Result]) -> tuple[Any, Any, list[str]]:
    """p_fake (N,), whether each is a fake (N,), and the group that each is drawn with."""
    p = np.array([each["p_fake"] for each in results], np.float64)
    fake = np.array([each["label"] == "fake" for each in results], bool)
    return p, fake, [f"{each['source']}:{each['group']}" for each in results]


def _enough(results: Sequence[Result]) -> bool:
    return len(results) >= MIN_FILES


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)" if total else "-"
