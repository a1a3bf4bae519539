"""``models get``: from the catalogue to an installed model folder, verified and pinned.

Files lie under ``.downloads/ID`` of the models' folder until the model is whole; an interrupted download goes on there.
Who has no connection can put the files there by hand: they are checked like downloaded ones.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import BadInput, EngineError
from engine.models import convert
from engine.models.download import Progress, Remote, fetch, require_room, size_of_part, stall_seconds
from engine.models.entries import CONFIG_FILES, HUB, Entry, endpoint, entry_of, known_models
from engine.models.folders import WEIGHTS, record_origin, sha256, staging, sweep

TOKEN_HOST = "REPAINT_BRIDGE_TOKEN_HOST"
"""Variable that names the mirror to which the token may go beside the hub."""
Check = Callable[[Path], None]
Say = Callable[[str], None]
Expect = Callable[[Mapping[str, int | None]], None]
"""Told once, before the first byte: the size of each file that makes the model."""


def get(
    model_id: str,
    models: Path,
    check: Check,
    progress: Progress,
    say: Say = lambda _: None,
    classifier: bool = False,
    expect: Expect = lambda _: None,
) -> Path:
    """Install a model of the catalogue into ``models/ID``.

    Args:
        check: loads a folder in diffusers layout strictly, or raises EngineError.
        progress: told of each file, by its name, while it comes.
        classifier: also the model's noisy classifier, where there is one.

    Raises:
        BadInput: unknown, installed already, or only to be had by hand.
        EngineError: what :func:`engine.models.download.fetch` and :mod:`engine.models.convert` raise.
    """
    entry = entry_of(model_id)
    if entry is None:
        known = ", ".join(each.id for each in known_models())
        raise BadInput("model_missing", f"There is no model {model_id!r} to get; choose one of: {known}.")
    target = models / entry.id
    if entry.page is not None:
        raise BadInput(
            "by_hand",
            f"{entry.title} cannot be downloaded automatically: get {entry.file} as {entry.page} says, then run "
            f"'python -m engine models convert {entry.file} --as {entry.kind}'.",
        )
    if classifier and entry.classifier_url is None:
        raise BadInput("no_classifier", f"There is no classifier for {entry.title}; leave --classifier out.")
    if target.exists() and not classifier:
        raise BadInput("installed", f"{entry.title} is installed already; 'models verify {entry.id}' checks it.")
    sweep(models)
    with _place(models, entry) as place:
        if not target.exists():
            say(f"{entry.title}, licence: {entry.licence}, from {entry.source}")
            if entry.repo:
                _from_hub(entry, place, target, check, progress, expect)
            else:
                assert entry.url is not None
                assert entry.kind is not None
                expect({_last_part(entry.url): entry.size})
                file = _checkpoint(entry.url, place, Remote(entry.url, entry.size, entry.sha256), progress)
                with _discarding(file):
                    convert.convert(file, entry.kind, entry.id, models, say=say)
                file.unlink()
        if classifier:
            assert entry.classifier_url is not None
            assert entry.classifier_kind is not None
            file = _checkpoint(entry.classifier_url, place, Remote(entry.classifier_url), progress)
            with _discarding(file):
                convert.convert(file, entry.classifier_kind, entry.id, models, say=say)
    shutil.rmtree(place, ignore_errors=True)
    return target


def _from_hub(entry: Entry, place: Path, target: Path, check: Check, progress: Progress, expect: Expect) -> None:
    assert entry.repo
    sums = {name: entry.sha256 if name == entry.weights else None for name in entry.files}
    room = {name: 2 if name.endswith(".bin") else 1 for name in entry.files}
    missing = [
        name
        for name in entry.files
        if not _have(place / name, sums[name]) and not _from_cache(entry, name, place, sums[name])
    ]
    sizes = {name: _remote(entry, name, sums[name], place).size for name in missing}
    here = {name: (place / name).stat().st_size for name in entry.files if name not in missing}
    expect({**here, **sizes})
    for name, size in here.items():
        progress(name, size, size)
    require_room(place, sum(room[name] * (size or 0) - size_of_part(place / name) for name, size in sizes.items()))
    for name in missing:  # asked again each: the address of a large file holds for a while only
        fetch(_remote(entry, name, sums[name], place), place / name, partial(_named, progress, name), room[name])
    kept = entry.files if entry.layout else (*CONFIG_FILES, WEIGHTS)
    downloaded = {name: sha256(place / name) for name in entry.files if name not in CONFIG_FILES}
    with _discarding(*(place / name for name in {*entry.files, *kept})):
        if entry.layout is None and entry.weights != WEIGHTS:
            convert.to_safetensors(place / entry.weights, place / WEIGHTS)
        check(place)
    with staging(target) as folder:
        for name in kept:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).replace(folder / name)
        record_origin(
            folder,
            source=entry.repo,
            revision=entry.revision,
            title=entry.title,
            licence=entry.licence,
            downloaded=downloaded,
        )


def _named(progress: Progress, name: str, _file: str, done: int, total: int | None) -> None:
    """A pipeline's files of the same name lie in different folders."""
    progress(name, done, total)


def _last_part(url: str) -> str:
    return urlsplit(url).path.rsplit("/", 1)[-1]


def _checkpoint(url: str, place: Path, remote: Remote, progress: Progress) -> Path:
    file = place / _last_part(url)
    if not _have(file, remote.sha256):
        if _offline():
            raise _switched_off(url, place)
        fetch(remote, file, progress, room=3)
    return file


def _remote(entry: Entry, name: str, expected: str | None, place: Path) -> Remote:
    """Where the hub keeps a file, and the hash it names: SHA-256 of a large file, git's SHA-1 of a small one."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers

    assert entry.repo
    url = hf_hub_url(entry.repo, name, revision=entry.revision, endpoint=endpoint())
    if _offline():
        raise _switched_off(url, place)
    try:
        found = get_hf_file_metadata(url, token=_token(url), endpoint=endpoint(), timeout=stall_seconds())
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "error"
        if entry.gated and status in (401, 403) and not may_have_token(url):
            raise EngineError(
                "gated",
                f"{entry.title} needs a token, and {urlsplit(url).hostname} is not sent yours: unset HF_ENDPOINT, or "
                f"name that mirror in {TOKEN_HOST} if you trust it, and try again.",
                repr(error),
            ) from error
        if entry.gated and status in (401, 403):
            raise EngineError(
                "gated",
                f"{entry.title} is only for accounts that have accepted its licence ({entry.licence}): accept it on "
                f"the page of {entry.repo}, put a token of that account into HF_TOKEN, and try again.",
                repr(error),
            ) from error
        raise EngineError(
            "not_found" if status in (401, 403, 404) else "download_failed",
            f"{urlsplit(url).hostname} refuses {entry.repo} (HTTP {status}); "
            "try again later or use another mirror (HF_ENDPOINT).",
            repr(error),
        ) from error
    except Exception as error:  # whatever the hub's client raises without a connection
        raise EngineError(
            "offline",
            f"{urlsplit(url).hostname} cannot be reached; connect to the internet, or set HF_ENDPOINT to a mirror, "
            f"or put the files of {entry.repo} into {place} by hand, and try again.",
            repr(error),
        ) from error
    etag = found.etag or ""
    own_server = urlsplit(found.location).netloc == urlsplit(url).netloc
    token = build_hf_headers(token=_token(found.location) if own_server else False).get("authorization")
    return Remote(
        found.location,
        found.size,
        expected or (etag if re.fullmatch("[0-9a-f]{64}", etag) else None),
        etag if re.fullmatch("[0-9a-f]{40}", etag) else None,
        etag or None,
        {"authorization": token} if token else {},
    )


def may_have_token(url: str) -> bool:
    """Whether the account's token may go there: by https to the hub itself, or to the mirror that :data:`TOKEN_HOST`
    names (host, or host:port); without https to a named 127.0.0.1 only, which is this machine."""
    parts = urlsplit(url)
    named = parts.netloc == os.environ.get(TOKEN_HOST)
    if parts.scheme == "https":
        return named or parts.netloc == urlsplit(HUB).netloc
    return parts.scheme == "http" and named and parts.hostname == "127.0.0.1"


def _token(url: str) -> bool | None:
    """As huggingface_hub takes it: None for the token that there is, False for none."""
    return None if may_have_token(url) else False


def _from_cache(entry: Entry, name: str, place: Path, expected: str | None) -> bool:
    """Take a file that another program has already fetched from the hub."""
    from huggingface_hub import try_to_load_from_cache

    assert entry.repo
    cached = try_to_load_from_cache(entry.repo, name, revision=entry.revision)
    if not isinstance(cached, str) or (expected is not None and sha256(Path(cached)) != expected):
        return False
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cached, place / name)
    return True


@contextmanager
def _discarding(*files: Path) -> Iterator[None]:
    """Delete downloaded files that turn out to be useless, so that the next try fetches them anew."""
    try:
        yield
    except EngineError as error:
        if error.code not in ("disk_full", "out_of_memory"):
            for file in files:
                file.unlink(missing_ok=True)
        raise


def _have(file: Path, expected: str | None) -> bool:
    return file.is_file() and (expected is None or sha256(file) == expected)


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _switched_off(url: str, place: Path) -> EngineError:
    return EngineError(
        "offline",
        "Downloads are switched off by HF_HUB_OFFLINE; unset it, or put "
        f"{url.rsplit('/', 1)[-1]} from {url} into {place} by hand, and try again.",
    )


@contextmanager
def _place(models: Path, entry: Entry) -> Iterator[Path]:
    """The download folder, for one process at a time."""
    from filelock import FileLock, Timeout

    place = models / ".downloads" / entry.id
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(models / ".downloads" / f"{entry.id}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise EngineError("busy", f"{entry.title} is being downloaded already; wait for it to finish.") from error
    try:
        yield place
    finally:
        lock.release()
