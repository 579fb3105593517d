"""What the PDF says, in the order it is read: verdict, reasons, limits, file, people and faces, findings, appendix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from fakelab.records import LEVEL_WORDS, Analysis, Finding, Kind, Level, PersonScore
from fakelab.reports import charts, content, pictures, words
from fakelab.reports.pdf.builder import Story, bullets
from fakelab.reports.pdf.charts import Axis, FaceMap, Key, Lane, LevelMark, hatched, mark, presence, spread
from fakelab.reports.pdf.flow import INK, QUIET, WARN, Gap, Part, Picture, Prose, Rows, Rule
from fakelab.reports.pdf.tags import Node
from fakelab.reports.pdf.text import Span

_FACES_A_ROW = 3


def tell(analysis: Analysis, root: Node, seal: Mapping[str, str] | None = None) -> list[Part]:
    """The parts of the whole report in reading order, their elements hung below `root`."""
    story = Story(root)
    _verdict(story, analysis)
    _file(story, analysis)
    for finding in analysis.findings:
        if finding.people:
            _people(story, finding, analysis)
    _findings(story, analysis)
    _checks(story, analysis)
    _measured(story, analysis)
    _reading(story, analysis)
    _appendix(story, analysis, seal)
    return story.parts


def _verdict(story: Story, analysis: Analysis) -> None:
    verdict = analysis.verdict
    level, sentence = words.headline(verdict)
    started = analysis.started.astimezone(UTC) if analysis.started.tzinfo else analysis.started
    date = f"{started.day} {started.strftime('%B %Y, %H:%M')} UTC"
    head = [
        [Prose([Span("FakeLab", True, INK), Span(" verification report", colour=QUIET)], story.node("P"), 9.0)],
        [Prose([Span(date, colour=QUIET)], story.node("P"), 9.0, right=True)],
    ]
    story.parts += [Rows([1, 1], [head], pad=0), Rule(INK, 2.0, 3, 12)]
    name = Prose([Span(analysis.file.name, True, INK)], story.node("P"), 10.0, 1.4, own_direction=True, space_after=9.0)
    heading = Prose([Span(level, True, INK)], story.node("H1"), 22.0, 1.2)
    answer: list[list[Part]] = [[LevelMark(verdict.level, story.node("Figure", f"Level: {level}"))], [heading]]
    # The name of the level comes first for a reader, then its drawing.
    story.parts += [name, Rows([8, 92], [answer], pad=0, gap=6)]
    if sentence:
        story.parts += [Gap(7), Prose([Span(sentence, colour=INK)], story.node("P"), 12.5, 1.4)]
    if verdict.p_fake is not None:
        score = [
            Span("Score ", colour=QUIET),
            Span(words.percent(verdict.p_fake), True, INK),
            Span(" – an estimate between 1 and 99 %, explained under “How to read this report”.", colour=QUIET),
            Span(" Never a certainty.", colour=QUIET),
        ]
        story.parts += [Gap(5), Prose(score, story.node("P"), 9.0)]
    story.parts.append(Gap(12))
    why: list[Part] = [_small_heading("Why", story)]
    reasons = [reason.text for reason in verdict.reasons]
    shown = reasons[: content.REASONS_SHOWN] or ["The score alone; no limit of the method was reached."]
    why += bullets(shown, story.node("L"))
    if more := len(reasons) - len(shown):
        note = f"{more} more under “What was measured”." if more > 0 else ""
        why += [Prose([Span(note, colour=QUIET)], story.node("P"), 8.5)] if note else []
    unsaid: list[Part] = [_small_heading("What this does not say", story)]
    unsaid.append(Prose([Span(words.not_said(verdict), colour=INK)], story.node("P"), 9.0))
    story.parts.append(Rows([1, 1], [[why, unsaid]], pad=4, gap=24))
    rates = [(words.detector_words(each.detector), each.error_rate) for each in analysis.findings if each.error_rate]
    if rates:
        story.parts += [Gap(4), _small_heading("How often it is wrong", story)]
        for name_of, rate in rates:
            story.prose(f"{name_of}: {rate}" if len(rates) > 1 else rate, after=2)


def _small_heading(title: str, story: Story) -> Prose:
    made = Prose([Span(title, True, INK)], story.node("H2"), 9.5, 1.3, space_after=4.0)
    made.keep = True
    return made


def _file(story: Story, analysis: Analysis) -> None:
    file = analysis.file
    story.section("The file")
    # A name of its own direction, so that one in Arabic reads as it is written.
    story.pairs([("Name", file.name)], own_direction=True, first_share=22)
    story.pairs([*content.facts(file), ("Fingerprint (SHA-256)", file.sha256)], first_share=22)
    story.parts.append(Gap(3))
    story.prose(
        "The fingerprint changes with any change to the file: compare it to be sure that two people hold the same one.",
        QUIET,
        8.0,
        0,
    )


def _people(story: Story, finding: Finding, analysis: Analysis) -> None:
    ordered = words.by_suspicion(finding)
    open_count = content.people_shown(len(ordered))
    duration_s = content.duration(finding, analysis.file)
    lines = words.thresholds(finding)
    file = analysis.file
    mapped = file.kind is Kind.PHOTO and len(ordered) > 1 and file.width_px and file.height_px
    title = words.detector_words(finding.detector)
    if duration_s:
        story.section(title)
        story.prose(
            "One lane for each person over the length of the file. Every mark is one moment that was looked at: the"
            " higher it stands, the stronger the traces. The band around a mark spans the scores of neighbouring"
            " frames; it is no measure of certainty. Most suspicious person first.",
            QUIET,
            8.5,
            keep=True,
        )
        for person in ordered[:open_count]:
            story.parts.append(_lane(story, person, finding, lines, duration_s))
        _axis_and_key(story, ordered[:open_count], lines, duration_s)
    elif mapped:
        story.section(title)
        story.prose("Where the faces are in the photo, by number.", QUIET, 8.5, keep=True)
        numbers = ", ".join(str(person.person) for person in ordered)
        figure = story.node("Figure", f"Where the faces are: person {numbers}")
        story.parts.append(FaceMap(ordered, (file.width_px or 1, file.height_px or 1), figure))
    if len(ordered) > open_count:
        story.parts.append(Gap(4))
        story.prose(f"Not drawn: {words.others(ordered[open_count:])}. The JSON report has them all.", QUIET, 8.5)
    shown = [
        (person, faces)
        for place, person in enumerate(ordered[:open_count])
        if (faces := content.most_suspicious(person.faces, content.faces_shown(place)))
    ]
    if not shown:
        return
    story.section("The most suspicious faces" if duration_s else "Face by face" if mapped else title)
    story.prose(
        "Left, the face as the network saw it; right, the same face under its heat map. Brighter = where the network"
        " saw traces. The map can mislead: it shows where the network looked, not what was changed.",
        QUIET,
        8.5,
        keep=True,
    )
    for person, faces in shown:
        story.heading(f"Person {person.person}")
        _person_words(story, person, finding, bool(duration_s))
        cells: list[list[Part]] = []
        for face in faces:
            if face.crop is None:
                continue
            when = f" at {words.clock(face.time_s)}" if duration_s else ""
            jpegs = [pictures.crop_jpeg(face.crop)]
            said = f"Face of person {person.person}{when}"
            if face.heat_map is not None:
                jpegs.append(pictures.overlay_jpeg(face.crop, face.heat_map))
                said += ", and the heat map over it"
            figure = story.node("Figure", said)
            caption = f"{words.clock(face.time_s)} · score {words.percent(face.p_fake)}" if duration_s else ""
            picture = Picture(jpegs, figure, side=None if len(jpegs) == 2 else 78.0)
            picture.space_after = 2.5
            cell: list[Part] = [picture]
            cell += [Prose([Span(caption, colour=QUIET)], story.node("P"), 8.0)] if caption else []
            cells.append(cell)
        rows = [cells[start : start + _FACES_A_ROW] for start in range(0, len(cells), _FACES_A_ROW)]
        filled = [row + [[] for _ in range(_FACES_A_ROW - len(row))] for row in rows]
        story.parts.append(Rows([1] * _FACES_A_ROW, filled, rules=False, pad=3, gap=10))


def _person_words(story: Story, person: PersonScore, finding: Finding, has_lane: bool) -> None:
    """Score, level and reasons of a person, where no lane has said them."""
    if has_lane:
        return
    text = f"{words.person_percent(person)}  {LEVEL_WORDS[person.level]}{_decides(person, finding)}"
    story.prose(text, INK, 8.5, 2, keep=True)
    for reason in _own_reasons(person, finding):
        story.prose(reason, QUIET, 8.5, 2, keep=True)


def _lane(story: Story, person: PersonScore, finding: Finding, lines: Mapping[Level, float], duration_s: float) -> Rows:
    faces = content.most_suspicious(person.faces, 1)
    who: list[Part] = [Prose([Span(f"Person {person.person}  {words.person_percent(person)}", True)], story.node("P"))]
    level = f"{LEVEL_WORDS[person.level]}{_decides(person, finding)}"
    who.append(Prose([Span(level, colour=QUIET)], story.node("P"), 8.0, 1.3))
    thumb: list[Part] = []
    if faces and faces[0].crop is not None:
        # The same face stands below with its words.
        thumb.append(Picture([pictures.crop_jpeg(faces[0].crop)], None, side=32.0))
    chart = Lane(person, duration_s, lines, story.node("Figure", _lane_words(person)))
    spans = []
    if person.faces:
        spans.append(Span(f"Seen {words.span(person.faces[0].time_s, person.faces[-1].time_s)}", colour=QUIET))
    if person.suspicious:
        spans.append(Span("  ·  ", colour=QUIET))
        spans.append(Span(f"Suspicious {words.spans(person.suspicious)}", True, WARN))
    when: list[Part] = [Prose(spans, story.node("P"), 8.0, 1.3)] if spans else []
    when += [Prose([Span(text, colour=QUIET)], story.node("P"), 8.0, 1.3) for text in _own_reasons(person, finding)]
    return Rows([7, 24, 69], [[thumb, who, [chart, *when]]], pad=4, gap=8)


def _lane_words(person: PersonScore) -> str:
    text = charts.lane_text(person, person.faces)
    return words.safe(f"Person {person.person}, score over time. {text}")


def _axis_and_key(story: Story, people: Sequence[PersonScore], lines: Mapping[Level, float], duration_s: float) -> None:
    story.parts.append(Rows([7, 24, 69], [[[], [], [Axis(duration_s)]]], pad=0, gap=8))
    items: list[tuple[Callable[..., None], str]] = [
        (
            lambda canvas, x, y: mark(canvas, x, y, Level.NONE_FOUND),
            "below both lines" if lines else "score at one moment",
        )
    ]
    if lines:
        items.append((lambda canvas, x, y: mark(canvas, x, y, Level.MODERATE), "reaches “moderate”"))
        items.append((lambda canvas, x, y: mark(canvas, x, y, Level.STRONG), "reaches “strong”"))
    if any(charts.is_spread(person, duration_s) for person in people):
        items.append((_key_spread, "lowest to highest of neighbouring frames"))
    if any(person.suspicious for person in people):
        items.append((lambda canvas, x, y: hatched(canvas, x - 10, y - 4.5, 20, 9), "suspicious stretch"))
    items.append((presence, "person in the picture"))
    story.parts += [Gap(4), Key(items, story.node("P"))]


def _key_spread(canvas: Any, x: float, y: float) -> None:
    spread(canvas, x, y - 6, y + 6)
    mark(canvas, x, y, Level.NONE_FOUND)


def _decides(person: PersonScore, finding: Finding) -> str:
    return " · decides the verdict" if finding.decided_by == person.person and len(finding.people) > 1 else ""


def _own_reasons(person: PersonScore, finding: Finding) -> list[str]:
    known = {reason.text for reason in finding.reasons}
    return [reason.text for reason in person.reasons if reason.text not in known]


def _findings(story: Story, analysis: Analysis) -> None:
    if not analysis.findings:
        return
    versions = {model.get("name"): model.get("version", "") for model in analysis.models}
    story.section("Findings")
    rows: list[Sequence[str | Sequence[Span]]] = []
    for finding in analysis.findings:
        suspicious = (
            f" Suspicious: {words.spans(finding.suspicious)}." if finding.windows and finding.suspicious else ""
        )
        rows.append([
            [
                Span(f"{words.detector_words(finding.detector)}. ", True, INK),
                Span(finding.looks_for, colour=INK),
                Span(f" Looked at {words.looked_at(finding)}.{suspicious}", colour=QUIET),
            ],
            LEVEL_WORDS[finding.level],
            words.percent(finding.p_fake),
            finding.error_rate or "The model states no error rate.",
            f"{finding.model} {versions.get(finding.model, '')}".strip() if finding.model else "–",
        ])  # fmt: skip
    header = ("What it looks for", "Result", "Score", "How often it is wrong", "Model")
    story.table([28, 16, 8, 34, 14], header, rows)


def _checks(story: Story, analysis: Analysis) -> None:
    if not analysis.evidence:
        return
    story.section(words.CHECKS_TITLE)
    story.prose(
        "Checks without a neural network. What a file says of itself can be forged or lost; most genuine pictures that"
        " circulate have lost it. None of this clears a file. The maps are in the HTML report.",
        QUIET,
        8.5,
        keep=True,
    )
    for check in analysis.evidence:
        title, state = words.check_words(check)
        story.heading(f"{title}: {state}")
        story.prose(check.sentence)
        if check.contradictions:
            story.bullets(check.contradictions)
        if check.facts:
            story.pairs(check.facts, first_share=30)
        for what, text in (("How to read this. ", check.how_to_read), ("When it misleads. ", check.when_it_misleads)):
            if text:
                story.prose(what + text, QUIET, 8.0, 3)


def _measured(story: Story, analysis: Analysis) -> None:
    measured = [(finding, rows) for finding in analysis.findings if (rows := words.measured_rows(finding))]
    reasons = words.all_reasons(analysis)
    if not measured and not reasons:
        return
    story.section("What was measured")
    for finding, rows in measured:
        table = [(label, value, meaning or "–") for label, value, meaning in rows]
        story.table([30, 14, 56], (words.detector_words(finding.detector), "Measured", "What it means"), table)
        story.parts.append(Gap(4))
    if reasons:
        story.heading("Every reason given")
        compared = [(where, reason.text, content.compared(reason)) for where, reason in reasons]
        story.pairs(((where, f"{text} ({more})" if more else text) for where, text, more in compared), first_share=22)


def _reading(story: Story, analysis: Analysis) -> None:
    story.section("How to read this report")
    story.prose(
        "A detector is one weak signal among others: it does not replace finding the source, the place and the time."
        " The score is the estimated probability that a face was manipulated, corrected on files whose answer is known;"
        " it is shown between 1 and 99 % because no detector is certain. Files unlike those it was tested on can make"
        " it wrong in both directions."
    )
    rows: list[list[list[Part]]] = []
    table = story.node("Table")
    for level, name in LEVEL_WORDS.items():
        row = table.add("TR")
        this = level is analysis.verdict.level
        cell = row.add("TH", scope="Row")
        label = Prose([Span(name + (" (this file)" if this else ""), this, INK)], cell, 8.5, 1.35)
        drawn = LevelMark(level, cell.add("Figure", "its mark"), 16.0)
        meaning = Prose([Span(words.LEVEL_MEANINGS[level], colour=QUIET)], row.add("TD"), 8.5)
        rows.append([[drawn], [label], [meaning]])
    story.parts.append(Rows([6, 34, 60], rows, gap=8))


def _appendix(story: Story, analysis: Analysis, seal: Mapping[str, str] | None) -> None:
    story.section("Technical appendix")
    if analysis.warnings:
        story.heading("Warnings")
        story.bullets(analysis.warnings)
    if analysis.models:
        story.heading("Models, with the SHA-256 of their weights")
        models = (
            (f"{each.get('name', 'unnamed')} {each.get('version', '')}".strip(), each) for each in analysis.models
        )
        story.pairs((name, str(each.get("sha256", "") or "not stated")) for name, each in models)
    for finding in analysis.findings:
        if lines := words.thresholds(finding):
            story.heading(f"Lines of the score, {words.detector_words(finding.detector).lower()}")
            story.pairs((LEVEL_WORDS[level], f"from {words.percent(line)}") for level, line in lines.items())
    columns: list[list[Part]] = []
    for title, rows in (
        ("Settings", content.settings_rows(analysis.settings) + content.seed_rows(analysis)),
        ("Versions", list(analysis.versions.items())),
        ("Time taken", content.timings_rows(analysis)),
    ):
        if rows:
            head = Prose([Span(title, True, INK)], story.node("H3"), 9.5, 1.3, space_after=3.0)
            columns.append([head, part] if (part := story.paired(rows, first_share=48)) else [head])
    if columns:
        story.parts += [Gap(4), Rows([1] * len(columns), [columns], pad=0, gap=22)]
    if seal:
        story.heading("Seal")
        story.pairs(((name.replace("_", " "), value) for name, value in seal.items()), first_share=22)
    story.parts.append(Gap(8))
    story.prose(
        "Made by FakeLab on the machine where the file lies. It shows faces from the file: share it with the same care."
        " A box with small figures stands for a character that no font here has; the figures are its Unicode number.",
        QUIET,
        8.0,
    )
