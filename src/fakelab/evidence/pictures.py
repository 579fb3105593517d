"""The checks of a photo's compression, with the maps and the words to read them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fakelab.evidence import compression
from fakelab.evidence.compression import Map
from fakelab.evidence.copies import copies_in
from fakelab.evidence.double import double_compression
from fakelab.evidence.tables import origin_of
from fakelab.evidence.traces import Tiles, Traces, said
from fakelab.records import Check

SMALLEST_TILES = 4
CLEAR_ODDS, LEAST_APART = 1.0, 0.01
"""Log-odds from which on a block was compressed once only, and the share of such blocks that is worth a map."""
LEAST_GHOST, MOST_ODDS = 0.35, 6.0
"""Values of the maps of ghosts and of double compression that are drawn brightest at the least."""
MEASURED = (
    "Measured on 60 spliced and 60 untouched photos (CASIA v1): {measured} That is too little for a score, so there is "
    "none: look at the map, and trust your eyes only where several checks agree."
)


def check_pictures(traces: Traces) -> tuple[Check, ...]:
    """Tables (JPEG alone), error level, ghosts, double compression (JPEG alone), noise and copied areas of a photo."""
    checks = [_tables(traces)] if traces.info.container == "jpeg" else []
    tiles = traces.tiles
    if tiles is None or min(tiles.image.shape[:2]) < SMALLEST_TILES * 16:
        return (*checks, Check("ela", "not_applicable", "The picture is too small for maps of its compression."))
    jobs: list[tuple[str, Callable[[], Check]]] = [
        ("ela", lambda: _ela(tiles, traces.orientation)),
        ("jpeg_ghosts", lambda: _ghosts(tiles, traces.orientation)),
        ("noise", lambda: _noise(tiles, traces.orientation)),
        ("copy_move", lambda: _copies(traces)),
    ]
    if table := _table(traces):
        jobs.insert(2, ("double_compression", lambda: _double(tiles, table, traces.orientation)))
    return (*checks, *(guarded(name, job) for name, job in jobs))


def guarded(name: str, job: Callable[[], Check]) -> Check:
    """The job's check; a fault in it becomes a check that says so."""
    try:
        return job()
    except Exception as error:  # one check must not end the others
        return Check(name, "failed", f"This check could not be done ({type(error).__name__}).")


def _table(traces: Traces, number: str = "0") -> list[int]:
    tables = traces.tag("jpeg").get("tables")
    table = tables.get(number) if isinstance(tables, dict) else None
    whole = isinstance(table, list) and len(table) == 64 and all(isinstance(each, int) and each > 0 for each in table)
    return list(table) if whole and table else []


def _tables(traces: Traces) -> Check:
    jpeg, table = traces.tag("jpeg"), _table(traces)
    how = (
        "Every program that writes JPEG chooses tables that say how coarsely detail is kept. libjpeg's standard tables "
        "are used by most software and services; cameras and Photoshop have their own."
    )
    misleads = (
        "Tables tell of the last program that saved the file, not of the first. Many phones use the standard tables, "
        "too, and a program can copy those of a camera."
    )
    if not table:
        return Check("jpeg_tables", "not_applicable", "The file's tables could not be read.", (), (), (), how, misleads)
    chroma = _table(traces, "1")
    origin = origin_of(table, chroma)
    names = [said(each[1], 30) for each in _apps(jpeg)]
    camera = said(traces.tag("exif").get("Make"), 40)
    against: tuple[str, ...] = ()
    if origin.quality is not None:
        sentence = (
            f"Last saved with the IJG's standard tables at quality {origin.quality}: by software, a service or a phone."
        )
        sentence += f" It names a camera ({camera}); compare with other photos of that model." if camera else ""
    elif origin.adobe:
        sentence = f"Last saved with tables that Adobe's programs use ({origin.adobe})."
        if camera:
            against = (
                f"It names a camera ({camera}), but its tables are those of Adobe's programs: it was saved there.",
            )
    elif any(name.startswith("Photoshop") for name in names):
        sentence = "Last saved with tables of its own, with the marks of Adobe Photoshop."
    else:
        sentence = "Last saved with tables of its own, as cameras and some programs write them."
    facts = (
        ("Tables", origin.words),
        ("Colour", _sampling(jpeg)),
        ("Order", "progressive" if jpeg.get("progressive") is True else "baseline"),
        ("Segments", ", ".join(dict.fromkeys(name for name in names if name))),
    )
    kept = tuple((label, value) for label, value in facts if value)
    state = "contradictions" if against else "noted"
    return Check("jpeg_tables", state, sentence, kept, against, (), how, misleads)


def _apps(jpeg: dict[str, Any]) -> list[list[Any]]:
    found = jpeg.get("apps")
    return [each for each in found if isinstance(each, list) and len(each) == 3] if isinstance(found, list) else []


def _sampling(jpeg: dict[str, Any]) -> str:
    found = jpeg.get("sampling")
    parts = found if isinstance(found, list) else []
    if len(parts) == 1:
        return "grey"
    names = {(1, 1): "4:4:4 (whole)", (2, 1): "4:2:2 (halved across)", (2, 2): "4:2:0 (halved)"}
    return names.get((parts[0][0], parts[0][1]), "unusual") if parts else ""


def _ela(tiles: Tiles, orientation: int) -> Check:
    found = compression.ela(tiles.image)
    return Check(
        "ela",
        "map",
        "How much each part changes when the picture is saved once more as JPEG at quality 90.",
        _thinned(tiles),
        (),
        (("error_level", turned(compression.shown(found, 2.0), orientation)),),
        "Compare like with like: edges with edges, skies with skies. A part that is brighter than others of the same "
        "kind may have been put in later. Edges and fine texture are bright in every picture.",
        "Text, sharp edges, strong colours and sharpening are bright without any change; saving a picture again wipes "
        "the difference out. "
        + MEASURED.format(
            measured="the map's F1 was .40 (marking everything: .20), .21 after one more saving; .68 of pairs of an "
            "edited and an untouched photo with the same history were put in order by it."
        ),
    )


def _ghosts(tiles: Tiles, orientation: int) -> Check:
    found = compression.ghosts(tiles.image)
    return Check(
        "jpeg_ghosts",
        "map",
        "Which parts behave under renewed compression unlike others with as much detail.",
        _thinned(tiles),
        (),
        (("ghost", turned(compression.shown(found, LEAST_GHOST), orientation)),),
        "A bright area with a clear outline may come from another JPEG, saved at another quality or in another grid. "
        "Single bright blocks mean nothing.",
        "Smooth, dark or blown-out areas, text and blurred backgrounds behave differently in genuine pictures, too. "
        + MEASURED.format(
            measured="the map's F1 was .42 (marking everything: .20), .36 after one more saving; .77 of pairs of an "
            "edited and an untouched photo with the same history were put in order by its brightest part."
        ),
    )


def _double(tiles: Tiles, table: list[int], orientation: int) -> Check:
    found = double_compression(tiles.image, np.array(table).reshape(8, 8))
    if found is None:
        return Check("double_compression", "not_applicable", "The picture is too small for this check.")
    apart = float((found.heat > CLEAR_ODDS).mean())
    stands_out = found.found and apart > LEAST_APART
    if found.found:
        first = f", the first time near quality {found.quality}" if found.quality else ""
        rest = f"{apart:.0%} of it show no trace of the earlier one" if stands_out else "no area stands out"
        sentence = f"It was compressed at least twice in the same grid{first}; {rest}."
    else:
        sentence = "No traces of an earlier JPEG compression in the same grid, so there is nothing to compare."
    return Check(
        "double_compression",
        "found" if found.found else "none_found",
        sentence,
        (("Traces of an earlier compression", f"{found.gain:.3f} (found from 0.010 on)"), *_thinned(tiles)),
        (),
        (("once_only", turned(compression.stretch(found.heat, 0.0, MOST_ODDS), orientation)),) if stands_out else (),
        "Saving twice is no sign of forgery: nearly every published photo was. When a JPEG is edited and saved again, "
        "untouched parts were compressed twice in one grid and parts that were put in were not. A bright area with a "
        "clear outline among dark ones may have been put in.",
        "Cropping or scaling between the two savings, a second saving at lower quality, and smooth areas hide the "
        "traces. On 68 photos saved once it never said twice; of those saved twice it found all whose second quality "
        "was higher, and .60 of the others. "
        + MEASURED.format(
            measured="the map's F1 was .22 (marking everything: .20), and after one more saving .10; photos with the "
            "same history were not told apart."
        ),
    )


def _noise(tiles: Tiles, orientation: int) -> Check:
    found = compression.noise(tiles.image)
    return Check(
        "noise",
        "map",
        "How strong the finest grain is in each part.",
        (("Usual grain", f"{float(np.median(found)):.2f} grey levels"), *_thinned(tiles)),
        (),
        (("noise", turned(compression.shown(found, 1.0), orientation)),),
        "Parts of one photo at one brightness have similar grain. An area that is smoother or rougher than its "
        "neighbours, with a clear outline, may come from elsewhere or may have been smoothed.",
        "Texture (hair, leaves, cloth) looks like grain, blurred background has none, and phones smooth skin and sky "
        "by "
        "themselves. "
        + MEASURED.format(
            measured="near chance: the map's F1 was .22 (marking everything: .20), .43 of pairs in order."
        ),
    )


def _copies(traces: Traces) -> Check:
    if traces.small is None:
        return Check("copy_move", "not_applicable", "The picture could not be decoded for this check.")
    found = copies_in(traces.small)
    seen = found.pairs > 0
    sentence = (
        f"{found.share:.1%} of the picture occur in it twice, with {found.pairs} points that agree on one movement."
        if seen
        else "No area was found that occurs in the picture twice."
    )
    return Check(
        "copy_move",
        "found" if seen else "none_found",
        sentence,
        (),
        (),
        (("twice", turned(found.heat, traces.orientation)),) if seen else (),
        "Marked areas are the same, pixel by pixel, after moving, turning or scaling: the original and its copy. Look "
        "whether one of them hides something, or adds to a crowd, smoke or rubble.",
        "Windows, tiles, print, logos, mirror images and things made by machine repeat in genuine pictures. Copies of "
        "smooth areas (sky, water, skin), small ones and strongly scaled ones are not found. Measured on copies that "
        "we made: .77 of moved areas and .62 of moved, turned and scaled ones were found; of untouched pictures, 1 of "
        "60 (CASIA v1) and 1 of 109 portraits were marked.",
    )


def _thinned(tiles: Tiles) -> tuple[tuple[str, str], ...]:
    if tiles.step == 1:
        return ()
    return (("Looked at", f"every {_nth(tiles.step)} tile of 16 pixels in both directions, as the photo is large"),)


def _nth(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def turned(values: Map, orientation: int) -> Map:
    """A map of the stored picture, upright as its EXIF orientation (1..8) says."""
    if orientation >= 5:
        values = values.T
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)
