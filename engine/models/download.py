"""One file over http(s): resumed across cuts and across runs, given up when it stalls, checked before it counts.

``huggingface_hub`` resumes only within one call and compares sizes only (2.4: a partial file is deleted when the call
fails), so the bytes of a model are fetched here; the rest about the hub is left to it (:mod:`engine.models.hub`).
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import logging
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import EngineError
from engine.version import __version__

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""(file name, bytes so far, bytes in all or None)."""

CHUNK = 2**20
RETRIES = 4
RETRY_PAUSE = 1.0
STALL_SECONDS = 30.0
_PASSING = (408, 429, 500, 502, 503, 504)
_BROKEN = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError)


@dataclass(frozen=True)
class Remote:
    """A file on a server and what is known of it beforehand.

    Attributes:
        etag: names the content; a partial file of another etag is thrown away.
        sha256, git_sha1: of the content (``git_sha1`` of the git blob); checked where not None.
        headers: sent to this server only, not to where it redirects.
    """

    url: str
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def stall_seconds() -> float:
    """How long a server may be silent: ``HF_HUB_DOWNLOAD_TIMEOUT``, else 30 s."""
    try:
        return float(os.environ["HF_HUB_DOWNLOAD_TIMEOUT"])
    except (KeyError, ValueError):
        return STALL_SECONDS


def fetch(remote: Remote, target: Path, progress: Progress, room: int = 1) -> None:
    """Download ``remote`` to ``target``; what is there of an earlier try (``target``.part) is continued.

    Args:
        room: how many times the file's size must be free on the disk (2 where it is converted afterwards).

    Raises:
        EngineError: ``offline``, ``not_found``, ``download_failed``, ``checksum`` or ``disk_full``.
    """
    part = _part(target)
    note = target.with_name(target.name + ".part.etag")
    target.parent.mkdir(parents=True, exist_ok=True)
    if part.exists() and (not note.exists() or (remote.etag and note.read_text(encoding="utf-8") != remote.etag)):
        part.unlink()
    if remote.etag:
        note.write_text(remote.etag, encoding="utf-8")
    if remote.size is not None:
        require_room(target.parent, room * remote.size - _size(part))
    best, failures, md5 = _size(part), 0, None
    while True:
        try:
            md5 = _transfer(remote, part, note, target.name, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():
                part.unlink()
            elif error.code not in _PASSING:
                raise _refused(remote, error) from error
            problem: Exception = error
        except _BROKEN as error:
            problem = error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(target.parent, remote.size) from error
            problem = error
        log.info("download of %s interrupted: %r", target.name, problem)
        failures = 0 if _size(part) > best else failures + 1
        best = max(best, _size(part))
        if failures > RETRIES:
            raise _gave_up(remote, part, problem) from problem
        time.sleep(RETRY_PAUSE * 2**failures)
    _verify(remote, part, target.name, md5)
    part.replace(target)
    note.unlink(missing_ok=True)


def _transfer(remote: Remote, part: Path, note: Path, name: str, progress: Progress) -> str | None:
    """One request from where ``part`` ends to the end; the content's MD5 where the server states it.

    Raises:
        OSError, http.client.HTTPException: cut, stalled, refused, disk full.
    """
    have = _size(part)
    if have and remote.size == have:
        return None
    if urlsplit(remote.url).scheme not in ("http", "https"):
        raise EngineError("download_failed", f"{name} cannot be downloaded: its address is not a web address.")
    request = urllib.request.Request(remote.url, headers={"Accept-Encoding": "identity"})
    request.add_unredirected_header("User-Agent", f"repaint-bridge/{__version__}")
    for key, value in remote.headers.items():
        request.add_unredirected_header(key, value)
    if have:
        request.add_header("Range", f"bytes={have}-")
        if not remote.etag:
            request.add_header("If-Range", note.read_text(encoding="utf-8"))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_tls()))
    with opener.open(request, timeout=stall_seconds()) as response:
        if have and (response.status != 206 or not _starts_at(response.headers.get("Content-Range"), have)):
            have = 0
        if not remote.etag:
            note.write_text(response.headers.get("ETag") or "none", encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else remote.size
        progress(name, have, total)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(name, have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"cut after {have} of {total} bytes")
    return response.headers.get("Content-MD5")


def _verify(remote: Remote, part: Path, name: str, md5: str | None) -> None:
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    sums["git"] = hashlib.sha1(f"blob {_size(part)}\0".encode(), usedforsecurity=False)
    with part.open("rb") as file:
        while chunk := file.read(CHUNK):
            for total in sums.values():
                total.update(chunk)
    wrong = (
        (remote.size is not None and _size(part) != remote.size)
        or (remote.sha256 is not None and sums["sha256"].hexdigest() != remote.sha256)
        or (remote.git_sha1 is not None and sums["git"].hexdigest() != remote.git_sha1)
        or (md5 is not None and base64.b64encode(sums["md5"].digest()).decode() != md5.strip())
    )
    if wrong:
        details = f"{_size(part)} bytes, sha256 {sums['sha256'].hexdigest()}; expected {remote}"
        part.unlink()
        raise EngineError(
            "checksum",
            f"{name} arrived damaged or is not the published file, and was deleted; "
            "try again, and if that does not help, use another mirror (HF_ENDPOINT).",
            details,
        )


def require_room(folder: Path, needed: int) -> None:
    """Raise EngineError ``disk_full`` unless so many bytes are free where that folder lies."""
    if needed > shutil.disk_usage(folder).free:
        raise _disk_full(folder, needed)


def size_of_part(target: Path) -> int:
    """Bytes that an earlier try has left of a file."""
    return _size(_part(target))


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _disk_full(folder: Path, needed: int | None) -> EngineError:
    need = f"{needed / 2**20:.0f} MiB are needed and " if needed else ""
    return EngineError(
        "disk_full",
        f"There is not enough room on the disk: {need}{shutil.disk_usage(folder).free / 2**20:.0f} MiB are free; "
        "free some and try again, and it continues where it stopped.",
        str(folder),
    )


def _refused(remote: Remote, error: urllib.error.HTTPError) -> EngineError:
    host = urlsplit(remote.url).hostname
    code = "not_found" if error.code in (404, 410) else "download_failed"
    return EngineError(
        code,
        f"{host} refuses the file (HTTP {error.code}); try again later or use another mirror.",
        remote.url,
    )


def _gave_up(remote: Remote, part: Path, problem: Exception) -> EngineError:
    host = urlsplit(remote.url).hostname
    if _size(part):
        return EngineError(
            "download_failed",
            f"The download from {host} keeps stopping; try again, and it continues where it stopped.",
            repr(problem),
        )
    return EngineError(
        "offline",
        f"{host} cannot be reached; connect to the internet, or set HF_ENDPOINT to a mirror, and try again.",
        repr(problem),
    )


def _starts_at(content_range: str | None, offset: int) -> bool:
    return (content_range or "").removeprefix("bytes ").startswith(f"{offset}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tls() -> ssl.SSLContext:
    """The system's certificates, and certifi's where Python cannot see the system's."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context
