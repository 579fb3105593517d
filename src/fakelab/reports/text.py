"""A report for a terminal: the verdict first, then why, what it does not show, who, and with what."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from fakelab.records import LEVEL_WORDS, Analysis, Finding, PersonScore
from fakelab.reports import words

PEOPLE_SHOWN = 8
"""Lines for people before the rest is summed up: a terminal is no place for a crowd."""


def write_text(
    analysis: Analysis, colour: bool = False, width: int = 88, record: Mapping[str, str] | None = None
) -> str:
    """The report as plain lines of at most `width` columns where words allow it, ending in a newline.

    `colour` adds bold and faint, never a hue: green would read as a clearance, and nothing here clears a file. `record`
    is what the history adds, by its label.
    """
    lines: list[str] = []
    level, sentence = words.headline(analysis.verdict)
    lines.append(_styled(words.safe(analysis.file.name), "2", colour))
    lines += [_styled(line, "1", colour) for line in _wrapped(sentence or f"{level}.", width)]
    score = analysis.verdict.p_fake
    if sentence or score is not None:
        lines.append(f"Level: {level}." + (f" Score: {words.percent(score)}." if score is not None else ""))
    lines += _section("Why", _bullets([reason.text for reason in analysis.verdict.reasons], width), colour)
    lines += _section("What this does not say", _wrapped(words.not_said(analysis.verdict), width, "  "), colour)
    for finding in analysis.findings:
        lines += _section(words.detector_words(finding.detector), list(_finding(finding, width)), colour)
    lines += _section(words.CHECKS_TITLE, list(_checks(analysis, width)), colour)
    lines += _section("File and model", list(_facts(analysis)), colour)
    if analysis.warnings:
        lines += _section("Warnings", _bullets(list(analysis.warnings), width), colour)
    lines += _section(
        "Record", [f"  {label:<10} {words.safe(value)}" for label, value in (record or {}).items()], colour
    )
    return "\n".join(lines) + "\n"


def _finding(finding: Finding, width: int) -> Iterator[str]:
    yield from _wrapped(f"Looks for: {finding.looks_for}", width, "  ")
    known = {reason.text for reason in finding.reasons}
    people = words.by_suspicion(finding)
    for person in people[:PEOPLE_SHOWN]:
        yield from _person(finding, person, known, width)
    if people[PEOPLE_SHOWN:]:
        yield f"  and {words.others(people[PEOPLE_SHOWN:])}"
    if not people and finding.p_fake is not None and finding.detector != "declared":
        yield f"  Result: {words.percent(finding.p_fake)}  {LEVEL_WORDS[finding.level]}"
    if finding.suspicious and not people:
        yield f"  Suspicious: {words.spans(finding.suspicious)}"
    if finding.detector != "declared":
        yield f"  Looked at: {words.looked_at(finding)}"
    yield from _wrapped(f"Error rate: {finding.error_rate or 'not stated by the model'}", width, "  ")


def _person(finding: Finding, person: PersonScore, known: set[str], width: int) -> Iterator[str]:
    head = f"  Person {person.person}  {words.person_percent(person):>5}  {LEVEL_WORDS[person.level]}"
    if finding.decided_by == person.person and len(finding.people) > 1:
        head += " (decides the verdict)"
    yield head
    # A photo has one moment, and its time says nothing.
    if person.faces and person.faces[-1].time_s > 0:
        seen = words.span(person.faces[0].time_s, person.faces[-1].time_s)
        suspicious = f", suspicious {words.spans(person.suspicious)}" if person.suspicious else ""
        yield from _wrapped(f"seen {seen}{suspicious}", width, " " * 12)
    for reason in person.reasons:
        if reason.text not in known:
            yield from _wrapped(reason.text, width, " " * 12)


def _checks(analysis: Analysis, width: int) -> Iterator[str]:
    drawn = [words.check_words(check)[0] for check in analysis.evidence if check.state == "map"]
    for check in analysis.evidence:
        if check.state == "map":
            continue
        title, state = words.check_words(check)
        yield from _wrapped(f"{title}: {state}. {check.sentence}", width, "  ", "    ")
        for sentence in check.contradictions:
            yield from _wrapped(sentence, width, "    ! ", "      ")
    if drawn:
        yield from _wrapped(f"Maps, in the HTML report: {', '.join(drawn)}.", width, "  ", "    ")


def _facts(analysis: Analysis) -> Iterator[str]:
    for model in analysis.models:
        name, version = model.get("name", "unnamed"), model.get("version", "")
        yield f"  Model    {words.safe(f'{name} {version}'.strip())}"
    file = analysis.file
    size = f", {file.width_px} x {file.height_px} px" if file.width_px and file.height_px else ""
    length = f", {words.length(file.duration_s)}" if file.duration_s else ""
    kind = f"{file.kind.value} ({words.safe(file.container)})"
    yield f"  File     {kind}, {words.byte_size(file.size_bytes)}{size}{length}"
    yield f"  SHA-256  {words.safe(file.sha256)}"


def _section(title: str, body: list[str], colour: bool) -> list[str]:
    return ["", _styled(title, "1", colour), *body] if body else []


def _bullets(items: list[str], width: int) -> list[str]:
    return [line for item in items for line in _wrapped(item, width, "  - ", "    ")]


def _wrapped(text: str, width: int, first: str = "", later: str | None = None) -> list[str]:
    return textwrap.wrap(
        words.safe(text),
        width,
        initial_indent=first,
        subsequent_indent=first if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _styled(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
