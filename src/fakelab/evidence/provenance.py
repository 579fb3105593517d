"""Content Credentials (C2PA): who signed what about this file, and whether it still holds.

The C2PA library parses untrusted bytes, so it runs in the confined child (see `fakelab.media.traces_child`), without
files, network or OCSP; here its report is judged. A signature proves who made a statement, never that it is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fakelab.evidence.traces import Traces, mapping, rows_of, said
from fakelab.records import Check

MOST_SHOWN = 12
MOST_MANIFESTS = 40
GENERATED = "trainedAlgorithmicMedia"
COMPOSITES = ("compositeWithTrainedAlgorithmicMedia",)
SOURCE_WORDS = {
    "trainedAlgorithmicMedia": "made by a generator (AI)",
    "compositeWithTrainedAlgorithmicMedia": "a composite with parts made by a generator (AI)",
    "algorithmicMedia": "made by an algorithm without training",
    "compositeSynthetic": "a composite with synthetic parts",
    "compositeCapture": "a composite of camera pictures",
    "digitalCapture": "taken with a digital camera",
    "computationalCapture": "taken with a camera that computes the picture of several",
    "negativeFilm": "scanned from a negative",
    "positiveFilm": "scanned from a positive",
    "print": "scanned from a print",
    "minorHumanEdits": "a picture with small edits by a person",
    "humanEdits": "a picture edited by a person",
    "digitalCreation": "made by a person with digital tools",
    "dataDrivenMedia": "made from data",
    "screenCapture": "a screen recording",
}
"""IPTC's digital source types in plain words."""
FAULTS = (
    ("dataHash.mismatch", "The picture was changed after it was signed."),
    ("bmffHash.mismatch", "The video was changed after it was signed."),
    ("boxesHash.mismatch", "The picture was changed after it was signed."),
    ("claimSignature", "The signature does not fit the signed statement."),
    ("hashedURI.mismatch", "A statement was changed after it was signed."),
    ("signingCredential.expired", "The signer's certificate had expired."),
    ("signingCredential.revoked", "The signer's certificate was revoked."),
    ("signingCredential.invalid", "The signer's certificate may not be used for this."),
    ("outsideValidity", "It was signed outside the time for which the certificate holds."),
    ("timeStamp", "The time stamp does not hold."),
    ("missing", "A part of the credential is missing."),
    ("ingredient", "A source file's credential does not hold."),
)
HOW = (
    "A credential is a signed statement. Valid: the signer is on your list of trusted authorities and nothing was "
    "changed since. Untrusted issuer: nothing was changed, but anyone can make such a certificate; compare the issuer "
    "with who claims to have made the file. Invalid: the file or the statement was changed after signing. Incomplete: "
    "the file points to a credential that is not in it."
)
MISLEADS = (
    "Most services remove credentials, so none says nothing. A valid one shows who signed, not that the scene is true: "
    "a photo of a screen can be signed, too. An invalid one can come from a harmless tool that did not know of it."
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file says of its own making: `code` is one of `verdict.DECLARED`, `detail` a sentence."""

    code: str
    detail: str


def check_credentials(traces: Traces) -> tuple[Check, tuple[Statement, ...]]:
    """The check of the file's credentials, and what they declare of a generator."""
    found = traces.credentials
    if found.get("unsupported") is True:
        return _check("not_applicable", "Files of this format are not searched for Content Credentials."), ()
    pointer = _pointer(traces)
    if found.get("absent") is True:
        if pointer:
            return _incomplete(pointer), ()
        return _check("none", "The file holds no Content Credentials. Most files hold none, so this says nothing."), ()
    report = mapping(found.get("report"))
    if not report:
        error = said(found.get("error")) or "no answer"
        if "remote" in error.lower():
            return _incomplete(pointer or error), ()
        return (
            _check(
                "invalid",
                "The file holds Content Credentials that cannot be read: they are damaged or were cut.",
                facts=(("Error", error),),
            ),
            (),
        )
    return _judged(report)


def _judged(report: dict[str, Any]) -> tuple[Check, tuple[Statement, ...]]:
    manifests = mapping(report.get("manifests"))
    active = mapping(manifests.get(str(report.get("active_manifest"))))
    codes = [said(each.get("code")) for each in rows_of(report.get("validation_status"))]
    results = mapping(report.get("validation_results"))
    deltas = [mapping(each.get("validationDeltas")) for each in rows_of(results.get("ingredientDeltas"))]
    bad_sources = [said(f.get("code")) for each in deltas for f in rows_of(each.get("failure"))]
    bad_sources = [each for each in bad_sources if "untrusted" not in each]
    issuer, time = _signer(active)
    match report.get("validation_state"):
        case "Trusted":
            state, sentence = "valid", f"Signed by {issuer}, a trusted issuer; nothing was changed since."
        case "Valid":
            state = "untrusted_issuer"
            sentence = (
                f"Signed in the name of {issuer}, and not changed since; the issuer is not on your list of trust."
            )
        case _:
            state, sentence = "invalid", f"Signed in the name of {issuer}, but the credential does not hold."
    against = list(dict.fromkeys(_fault(code) for code in codes if "untrusted" not in code))
    if bad_sources:
        against.append(
            "The credential of a source file does not hold: " + ", ".join(sorted(set(bad_sources))[:4]) + "."
        )
    facts = [("Issuer", issuer), ("Signed", time or "no trusted time is stated"), ("Made with", _generator(active))]
    facts += [("Title", said(active.get("title")))]
    facts += [("Actions", ", ".join(_actions(active)[:MOST_SHOWN]))]
    facts += [("Source files", "; ".join(_ingredients(active)[:MOST_SHOWN]))]
    sources = _sources(manifests, str(report.get("active_manifest")))
    facts += [("Declared origin", "; ".join(dict.fromkeys(each.words for each in sources)))]
    facts += [("Validation", ", ".join(dict.fromkeys(each for each in codes if each)))]
    statements = tuple(_statements(sources, state, issuer, bool(bad_sources)))
    if statements:
        sentence += f" {statements[0].detail}"
    kept = tuple((label, value) for label, value in facts if value)
    return _check(state, sentence, kept, tuple(against)), statements


def _statements(sources: list[_Source], state: str, issuer: str, doubtful: bool) -> list[Statement]:
    told = [each for each in sources if each.term in (GENERATED, *COMPOSITES)]
    if not told:
        return []
    vouched = [each for each in told if state == "valid" and each.vouched and (each.own or not doubtful)]
    whole = any(each.whole and each.term == GENERATED for each in vouched or told)
    what = "was made by a generator (AI)" if whole else "has parts that were made by a generator (AI)"
    detail = f"It declares that the file {what}."
    if state == "valid" and not vouched:
        return [Statement("stated_generated", f"{detail} That is said by a source file, whose issuer is not trusted.")]
    if not vouched:
        return [Statement("stated_generated", f"{detail} The issuer is not trusted, or the credential does not hold.")]
    return [Statement("declared_generated" if whole else "declared_composite", f"{detail} Signed by {issuer}.")]


@dataclass(frozen=True, slots=True)
class _Source:
    """A digital source type that a manifest declares. `whole`: of the file, not of a part; `own`: by the active one."""

    term: str
    whole: bool
    own: bool
    vouched: bool
    """Whether every signer from the active manifest down to this one found the next one trusted."""

    @property
    def words(self) -> str:
        return SOURCE_WORDS.get(self.term, self.term)


def _sources(manifests: dict[str, Any], active: str) -> list[_Source]:
    """Every digital source type of the active manifest, of what the file was edited from, and of what it holds."""
    found: list[_Source] = []
    queue, seen = [(active, True, True, True)], set[str]()
    while queue and len(seen) < MOST_MANIFESTS:
        label, whole, own, vouched = queue.pop(0)
        if label in seen:
            continue
        seen.add(label)
        manifest = mapping(manifests.get(label))
        # An edit that used a generator concerns a part; what a file was created by concerns all of it.
        terms = [
            (each.get("digitalSourceType"), each.get("action") == "c2pa.created") for each in _action_rows(manifest)
        ]
        terms += [(value, True) for value in _in_metadata(manifest)]
        for value, all_of_it in terms:
            if term := said(value).rstrip("/").rsplit("/", 1)[-1]:
                found.append(_Source(term, whole and all_of_it, own, vouched))
        for each in rows_of(manifest.get("ingredients")):
            if isinstance(each.get("active_manifest"), str):
                parent = whole and each.get("relationship") == "parentOf"
                queue.append((each["active_manifest"], parent, False, vouched and _found_trusted(each)))
    return found


def _found_trusted(ingredient: dict[str, Any]) -> bool:
    """Whether the signer, by its own signed account, found the source file's credential whole and trusted."""
    results = mapping(mapping(ingredient.get("validation_results")).get("activeManifest"))
    good = [said(each.get("code")) for each in rows_of(results.get("success"))]
    return "signingCredential.trusted" in good and not rows_of(results.get("failure"))


def _action_rows(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for each in rows_of(manifest.get("assertions")):
        if said(each.get("label")).startswith("c2pa.actions"):
            rows += rows_of(mapping(each.get("data")).get("actions"))
    return rows


def _in_metadata(manifest: dict[str, Any]) -> Iterator[object]:
    """The digital source types of signed IPTC fields."""
    for each in rows_of(manifest.get("assertions")):
        if said(each.get("label")).startswith(("stds.iptc", "c2pa.metadata", "cawg.metadata")):
            for key, value in mapping(each.get("data")).items():
                if key.lower().endswith("digitalsourcetype"):
                    yield value


def _actions(manifest: dict[str, Any]) -> list[str]:
    names = [said(each.get("action"), 60).removeprefix("c2pa.").replace("_", " ") for each in _action_rows(manifest)]
    return list(dict.fromkeys(name for name in names if name))


def _ingredients(manifest: dict[str, Any]) -> list[str]:
    roles = {"parentOf": "edited from", "componentOf": "placed in it", "inputTo": "used as input"}
    return [
        f"{said(each.get('title'), 80) or 'untitled'} ({roles.get(str(each.get('relationship')), 'related')}"
        + (", with a credential of its own)" if each.get("active_manifest") else ", without a credential)")
        for each in rows_of(manifest.get("ingredients"))
    ]


def _signer(manifest: dict[str, Any]) -> tuple[str, str]:
    info = mapping(manifest.get("signature_info"))
    names = [said(info.get(key), 100) for key in ("common_name", "issuer")]
    return " / ".join(dict.fromkeys(name for name in names if name)) or "an unnamed signer", said(info.get("time"))


def _generator(manifest: dict[str, Any]) -> str:
    rows = rows_of(manifest.get("claim_generator_info"))
    names = [f"{said(each.get('name'), 80)} {said(each.get('version'), 40)}".strip() for each in rows]
    return ", ".join(name for name in names if name) or said(manifest.get("claim_generator"))


def _fault(code: str) -> str:
    return next((words for part, words in FAULTS if part in code), f"It does not hold: {code}.")


def _pointer(traces: Traces) -> str:
    """The address of a credential kept elsewhere, from XMP; empty where there is none."""
    packets = traces.tags.get("xmp")
    for packet in packets if isinstance(packets, list) else ():
        if isinstance(packet, str) and (
            found := re.search(r'dcterms:provenance\s{0,9}[=>]\s{0,9}"?([^"<]{1,500})', packet)
        ):
            return said(found.group(1))
    return ""


def _incomplete(pointer: str) -> Check:
    return _check(
        "incomplete",
        "The file points to Content Credentials that are not in it. FakeLab fetches nothing from elsewhere.",
        facts=(("Points to", pointer),),
    )


def _check(state: str, sentence: str, facts: tuple[tuple[str, str], ...] = (), against: tuple[str, ...] = ()) -> Check:
    return Check("provenance", state, sentence, facts, against, how_to_read=HOW, when_it_misleads=MISLEADS)
