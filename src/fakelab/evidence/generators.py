"""What a file says of a picture generator without any signature: AI fields of IPTC and XMP, prompts, names of tools."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fakelab.evidence.provenance import COMPOSITES, GENERATED, SOURCE_WORDS, Statement
from fakelab.evidence.traces import Traces, rows_of, said
from fakelab.records import Check

TOOLS: tuple[tuple[str, str], ...] = (
    ("Midjourney", r"midjourney"),
    ("DALL-E or ChatGPT (OpenAI)", r"dall[-· ]?e\b|chatgpt|gpt-image|\bopenai\b"),
    ("Adobe Firefly", r"\bfirefly\b"),
    ("Stable Diffusion", r"stable[ _-]?diffusion|\bsdxl\b|stability ?ai|automatic1111"),
    ("ComfyUI", r"comfyui"),
    ("InvokeAI", r"invoke-?ai\b|invokeai"),
    ("NovelAI", r"novelai"),
    ("Fooocus", r"fooocus"),
    ("Leonardo.Ai", r"leonardo\.ai"),
    ("Ideogram", r"\bideogram\b"),
    ("FLUX (Black Forest Labs)", r"black forest labs|\bflux\.?1\b"),
    ("Google AI", r"made with google ai|edited with google ai|\bimagen ?[234]\b"),
    ("Bing Image Creator", r"bing image creator"),
    ("Draw Things", r"draw things"),
    ("StyleGAN", r"stylegan"),
    ("Sora (OpenAI)", r"\bsora\b.{0,20}openai|openai.{0,20}\bsora\b"),
    ("Runway", r"runwayml|runway gen-"),
    ("Kling", r"\bkling ?ai\b"),
)
"""Name -> how it writes itself into files."""
AI_FIELDS = ("AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName")
TEXT_KEYS = {
    "invokeai_metadata": "InvokeAI", "sd-metadata": "InvokeAI", "Dream": "InvokeAI", "fooocus_scheme": "Fooocus",
    "dream": "InvokeAI", "generation_data": "a Stable Diffusion service",
}  # fmt: skip
PLACES = {
    "exif": ("Software", "ImageDescription", "UserComment", "Make", "Model", "Artist", "HostComputer", "Copyright"),
    "iptc": ("OriginatingProgram", "Credit", "Source", "Caption", "Instructions", "Byline"),
    "xmp": ("CreatorTool", "Software", "Credit", "softwareAgent", "description", "Source", "AIGC", "ContentProducer"),
}
"""Fields where tools name themselves. A caption that only speaks of a tool looks the same: see MISLEADS."""
HOW = (
    "Generators often write their name, the prompt or IPTC's AI fields into a file. Nothing here is signed: the file "
    "says so of itself. Nothing found says nothing, because sending or saving a picture again removes such traces."
)
MISLEADS = (
    "Anyone can write these fields into a genuine picture, or take them out. A caption that merely mentions a tool, or "
    "a genuine photo that an AI tool enlarged or cleaned, looks the same."
)


def check_generators(traces: Traces) -> tuple[Check, tuple[Statement, ...]]:
    """The check for unsigned traces of a generator, and the statement that follows from them."""
    rows = list(dict.fromkeys(_found(traces)))[:20]
    facts = tuple((label, value) for label, value, _ in rows)
    named = list(dict.fromkeys(tool for _, _, tool in rows if tool))
    if not rows:
        return Check(
            "generator_traces", "none_found", "The file names no picture generator.", (), (), (), HOW, MISLEADS
        ), ()
    if not named:
        sentence = "The file states how the picture came about, without naming a generator."
        return Check("generator_traces", "noted", sentence, facts, (), (), HOW, MISLEADS), ()
    detail = f"The file itself says that it comes from a generator: {', '.join(named[:4])}. This is not signed."
    check = Check("generator_traces", "found", detail, facts, (), (), HOW, MISLEADS)
    return check, (Statement("stated_generated", detail),)


def _found(traces: Traces) -> Iterator[tuple[str, str, str]]:
    """(where, what it says, tool); the tool is empty for a statement that names none."""
    exif, iptc, text = traces.tag("exif"), traces.tag("iptc"), traces.tag("text")
    fields = xmp_fields(traces)
    for key, value in text.items():
        if tool := _by_key(str(key), str(value)):
            yield f"Text field {said(key, 40)}", said(value), tool
    for place, source in (("exif", exif), ("iptc", iptc)):
        for name in PLACES[place]:
            value = source.get(name)
            if isinstance(value, str) and (tool := _by_key(name, value) or _tool(value)):
                yield f"{place.upper()} {name}", said(value), tool
    for name, value in fields:
        if name == "DigitalSourceType":
            term = value.rstrip("/").rsplit("/", 1)[-1]
            tool = SOURCE_WORDS[term] if term in (GENERATED, *COMPOSITES) else ""
            yield "IPTC digital source type", SOURCE_WORDS.get(term, said(term, 80)), tool
        elif name in AI_FIELDS:
            yield f"IPTC {name}", said(value), said(value, 60) if name == "AISystemUsed" else "a generator (AI)"
        elif name in PLACES["xmp"] and (tool := _tool(value) or _by_key(name, value)):
            yield f"XMP {name}", said(value), tool
    for stream in rows_of(traces.tags.get("streams")):
        tags = stream.get("tags")
        for key, value in (tags if isinstance(tags, dict) else {}).items():
            if isinstance(value, str) and (tool := _tool(value) or _by_key(str(key), value)):
                yield f"Tag {said(key, 40)}", said(value), tool


def _by_key(key: str, value: str) -> str:
    if key in TEXT_KEYS:
        return TEXT_KEYS[key]
    if key.upper() == "AIGC" or ('"AIGC"' in value and "{" in value):
        return "an AIGC label"
    if key in ("parameters", "UserComment", "Comment", "comment") and "Steps:" in value and "Sampler" in value:
        return "Stable Diffusion (its parameters)"
    if key in ("prompt", "workflow") and ('"class_type"' in value or '"nodes"' in value):
        return "ComfyUI (its workflow)"
    if key == "Description" and re.search(r"Job ID: [0-9a-f-]{36}", value):
        return "Midjourney (its job number)"
    return _tool(value) if key in ("Software", "Source", "Title", "Author", "Comment", "Description", "comment") else ""


def _tool(value: str) -> str:
    text = value[:5000].lower()
    return next((name for name, pattern in TOOLS if re.search(pattern, text)), "")


_ATTRIBUTE = re.compile(r'\b[A-Za-z0-9]{1,30}:([A-Za-z0-9]{1,60})\s{0,9}=\s{0,9}"([^"<]{1,2000})"')
_ELEMENT = re.compile(
    r"<[A-Za-z0-9]{1,30}:([A-Za-z0-9]{1,60})(?:\s[^<>]{0,200})?>\s{0,40}"
    r"(?:<rdf:(?:Alt|Seq|Bag)>\s{0,40}<rdf:li[^<>]{0,100}>)?([^<]{1,2000})<"
)


def xmp_fields(traces: Traces) -> list[tuple[str, str]]:
    """(name without its prefix, value) of the fields in the XMP packets; no XML parser sees the untrusted text."""
    packets = traces.tags.get("xmp")
    found: list[tuple[str, str]] = []
    for packet in packets if isinstance(packets, list) else ():
        if isinstance(packet, str):
            for pattern in (_ATTRIBUTE, _ELEMENT):
                found += [(m.group(1), m.group(2).strip()) for m in pattern.finditer(packet) if m.group(2).strip()]
    return found[:2000]
