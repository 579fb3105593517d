"""The downloading process: yt-dlp, with every connection checked when it is made. One line of JSON in, one out."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from typing import Any

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotPublicError(OSError):
    """A connection to an address inside this machine or its network was refused."""


def is_public(host: str) -> bool:
    """Whether an IP address is on the open internet: not this machine, not its network, not a way around either."""
    address = ipaddress.ip_address(host.partition("%")[0])
    inner: list[Any] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner += [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            inner.remove(address)
    return all(each.is_global and not each.is_multicast for each in inner)


def checked(address: Any) -> Any:
    """The address to connect to: names are resolved here, so that what was checked is what is used."""
    if not isinstance(address, tuple):
        raise NotPublicError("connections inside this machine are refused")
    host, port, *rest = address
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return checked(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4])
    if not is_public(str(host)):
        raise NotPublicError(f"{host} is not a public address")
    return (host, port, *rest)


def guard() -> None:
    """From now on this process connects to public addresses alone, by TCP alone."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    for name in ("sendto", "sendmsg"):
        setattr(socket.socket, name, _refused)
    # A transport whose sockets Python does not see.
    sys.modules["curl_cffi"] = None  # type: ignore[assignment]


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        return original(self, checked(address))

    return connect


def _refused(self: socket.socket, *arguments: Any) -> Any:
    raise NotPublicError("only connections are allowed")


def main(order: dict[str, Any]) -> None:
    """Downloads one link and prints where to, or why not."""
    # Whatever libraries print goes to stderr: stdout is the answer's.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    guard()
    try:
        answer = {"file": _download(order)}
    except Exception as error:
        answer = {"error": _reason(error)}
    out.write(json.dumps(answer) + "\n")
    out.flush()


def _download(order: dict[str, Any]) -> str:
    import yt_dlp

    settings = {
        "outtmpl": {"default": os.path.join(order["folder"], order["name"] + ".%(ext)s")},
        # One file with picture and sound: joining two would need ffmpeg, another process with connections of its own.
        "format": "best[ext=mp4][vcodec!=none]/best[vcodec!=none]/best",
        "max_filesize": order["most_bytes"],
        "noplaylist": True,
        "playlist_items": "1",
        "proxy": "",
        "fixup": "never",
        "hls_prefer_native": True,
        "external_downloader": {"default": "native"},
        "cachedir": False,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "retries": 3,
        "socket_timeout": 30,
        "color": {"stdout": "never", "stderr": "never"},
    }
    with yt_dlp.YoutubeDL(settings) as downloader:
        info = downloader.extract_info(order["url"], download=True)
    entry = info["entries"][0] if info.get("entries") else info
    files = [each.get("filepath") for each in entry.get("requested_downloads") or [] if each.get("filepath")]
    if not files or not os.path.isfile(files[0]):
        raise OSError(f"nothing was saved; the limit is {order['most_bytes'] >> 20} MB")
    return os.path.basename(str(files[0]))


def _reason(error: Exception) -> str:
    """The last of what went wrong in plain words."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, NotPublicError):
            return str(inner)
        if isinstance(inner, socket.gaierror):
            return "the name of its host cannot be found; this machine may be offline"
        inner = inner.__cause__ or inner.__context__
    return str(error).removeprefix("ERROR: ").split("; please report")[0][:300] or type(error).__name__
