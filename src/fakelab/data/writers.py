"""What was prepared -> files: a face store, a folder of PNGs, or WebDataset shards. One row of WRITERS each."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakelab.data.manifest import replace_file, write_manifest
from fakelab.data.spool import Prepared
from fakelab.data.store import write_store
from fakelab.errors import unknown_name

SHARD_CROPS = 2000
"""Of a tar file: about 150 MB of PNGs at 224 px."""
PER_CROP = ("person", "time_s", "score", "blur", "luma", "side_px")

Writer = Callable[[Prepared, Path], None]


def writer_called(name: str) -> Writer:
    """The row of the table. Raises UnknownNameError."""
    if name not in WRITERS:
        raise unknown_name("writer", name, WRITERS)
    return WRITERS[name]


def write_folder(prepared: Prepared, folder: Path) -> None:
    """``crops/LABEL/NAME.png`` per crop, and ``index.csv`` with a line for each: a manifest of tight pictures."""
    _remove(folder, "crops/*/*.png")
    rows = []
    for name, told, png in _crops(prepared):
        row = prepared.rows[told["row"]]
        target = folder / "crops" / row.label / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png)
        more = dict(row.more) | {"file": str(row.path)} | {key: str(told[key]) for key in PER_CROP}
        rows.append(replace(row, path=target, sha256="", tight=True, more=tuple(more.items())))
    write_manifest(rows, folder / "index.csv")


def write_shards(prepared: Prepared, folder: Path) -> None:
    """``shard-000000.tar`` ...: a ``.png``, ``.cls`` (0 real, 1 fake) and ``.json`` per crop, as WebDataset reads them.

    ``shards.csv`` says how many crops each holds. The same crops give the same bytes.
    """
    _remove(folder, "shard-*.tar")
    lines: list[tuple[str, int]] = []
    waiting: list[tuple[str, bytes]] = []
    for name, told, png in _crops(prepared):
        text = json.dumps(told, sort_keys=True).encode()
        waiting += [(f"{name}.png", png), (f"{name}.cls", str(int(told["fake"])).encode()), (f"{name}.json", text)]
        if len(waiting) == 3 * SHARD_CROPS:
            lines.append(_write_shard(folder, len(lines), waiting))
            waiting = []
    if waiting:
        lines.append(_write_shard(folder, len(lines), waiting))
    text_out = io.StringIO(newline="")
    writer = csv.writer(text_out, lineterminator="\n")
    writer.writerows([("shard", "crops"), *lines])
    replace_file(folder / "shards.csv", text_out.getvalue().encode())


WRITERS: dict[str, Writer] = {"store": write_store, "folder": write_folder, "webdataset": write_shards}


def _crops(prepared: Prepared) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Name, what is known, and PNG of each crop. Names are numbers: of the row, then of the crop in it."""
    import cv2

    last, number = -1, 0
    for k, image in enumerate(prepared.crops):
        at = int(prepared.row_of[k])
        number = number + 1 if at == last else 0
        last = at
        row = prepared.rows[at]
        told: dict[str, Any] = {key: _plain(prepared.numbers[k][key]) for key in PER_CROP}
        told |= {"row": at, "fake": row.fake, "path": str(row.path)}
        told |= {key: getattr(row, key) for key in ("label", "source", "group", "original", "forgery", "split")}
        _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        yield f"{at:07d}_{number:04d}", told, png.tobytes()


def _plain(value: Any) -> float | int:
    """A number as text should show it: six digits of a float are more than was measured."""
    plain: float | int = value.item()
    return round(plain, 6) if isinstance(plain, float) else plain


def _write_shard(folder: Path, number: int, members: list[tuple[str, bytes]]) -> tuple[str, int]:
    name = f"shard-{number:06d}.tar"
    part = folder / f".{name}.part"
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in members:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    part.replace(folder / name)
    return name, len(members) // 3


def _remove(folder: Path, pattern: str) -> None:
    """Takes away what an earlier preparation wrote here."""
    for path in folder.glob(pattern):
        path.unlink()
