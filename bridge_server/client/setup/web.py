"""Files at addresses: http, https and the computer's own, by pip's and uv's settings. Every trouble is one sentence."""

from __future__ import annotations

import base64
import contextlib
import email.message
import hashlib
import html.parser
import http.client
import io
import json
import netrc
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple
from urllib.parse import SplitResult, unquote, urldefrag, urljoin, urlsplit, urlunsplit

from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import sentences
from bridge_server.client.setup.kit import Wheel
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.settings import Settings

try:
    import ssl
except ImportError:  # an editor's own Python may lack it
    ssl = None  # type: ignore[assignment,unused-ignore]

BUNDLES = (  # where systems keep their certificates; an editor's own Python often knows of none
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
)
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAUSE = 0.5  # seconds before a page is asked for again
LONGEST = 32_000_000  # bytes of a page
SLOWEST = 2048  # bytes a second, over the time-out: less counts as silence


class Stalled(SetUpFailed):
    """The other side is silent or out of reach: worth another try."""


class Web:
    """Where files are and how to get them; used by several threads.

    ``roots``: the wheel of certifi, whose list of certificates is used where an editor's own Python has none that
    suffices, as Krita's on Windows and macOS.
    """

    def __init__(self, settings: Settings, index: str, roots: Wheel | None = None) -> None:
        self._settings, self._index, self._roots = settings, index, roots
        self._learning = threading.Lock()
        self._certificates = ""
        main, *others = settings.indexes
        self._indexes = [] if settings.no_index else [each for each in (main or index, *others) if each]
        self._names: Dict[Tuple[str, str], SplitResult] | None = {}
        for each in (*self._indexes, *settings.find_links):
            with contextlib.suppress(ValueError):  # told when it is asked
                parts = urlsplit(each)
                if parts.username:
                    self._names[_server(parts)] = parts
        self._pages: Dict[str, Dict[str, str] | SetUpFailed] = {}
        self._guard = threading.Lock()
        self._opener: urllib.request.OpenerDirector | None = None

    def addresses(self, wheel: Wheel) -> Iterator[str]:
        """Where a file of that name is: pages of files first, then the indexes, then the package's own index.

        An index that cannot be asked is passed over if another one has the file. Raises SetUpFailed if none has.
        """
        trouble: SetUpFailed | None = None
        own = [wheel.index] if wheel.index and not self._settings.no_index else []
        places = [*self._settings.find_links, *(f"{each.rstrip('/')}/{wheel.project}/" for each in self._indexes + own)]
        found = False
        for place in places:
            try:
                address = self._page(place).get(wheel.name)
            except SetUpFailed as error:
                trouble = trouble or error
                continue
            if address:
                found = True
                yield address
        if not found and trouble:
            raise trouble

    def missing(self, wheel: Wheel) -> SetUpFailed:
        if not self._indexes:
            return SetUpFailed(say(sentences.NO_INDEX, name=wheel.name))
        return SetUpFailed(say(sentences.NOT_THERE, name=wheel.name, host=host(self._indexes[0])))

    def _page(self, place: str) -> Dict[str, str]:
        """The files of a folder or a page, by name; an address that says 404 has none.  It is asked once."""
        with self._guard:
            known = self._pages.get(place)
        if known is None:
            try:
                known = self._read_page(place)
            except SetUpFailed as error:
                known = error
            with self._guard:
                self._pages[place] = known
        if isinstance(known, SetUpFailed):
            raise known
        return known

    def _read_page(self, place: str) -> Dict[str, str]:
        folder = _local(place)
        if folder is not None:
            if folder.is_dir() and not (folder / "index.html").is_file():
                return {path.name: str(path) for path in folder.iterdir()}
            page = folder / "index.html" if folder.is_dir() else folder
            if not page.is_file():
                return {}
            return links(page.read_text(encoding="utf-8", errors="replace"), page.absolute().as_uri())
        tries = 0
        while True:
            try:
                with self.open(place, accept=ACCEPT) as answer:
                    told = _whole(answer, LONGEST)
                break
            except Stalled:
                tries += 1
                if tries == 3:
                    raise
                time.sleep(PAUSE * tries)
            except SetUpFailed as error:
                if error.code == "404":
                    return {}
                raise
        text, asked = told.decode("utf-8", "replace"), bare(answer.address)
        if len(told) > LONGEST:
            raise SetUpFailed(say(sentences.WEB_PAGE, host=host(place)), f"{asked}: a page without an end")
        if answer.kind.endswith("json"):
            try:
                files = json.loads(text)["files"]
                found = {file["filename"]: urljoin(answer.address, file["url"]) for file in files}
            except (ValueError, KeyError, TypeError) as error:
                raise SetUpFailed(say(sentences.WEB_PAGE, host=host(place)), f"{asked}: {error!r}") from None
        else:
            found = links(text, answer.address)
            if not any(re.search(r"\.(whl|tar\.gz|zip)$", name) for name in found):
                raise SetUpFailed(say(sentences.WEB_PAGE, host=host(place)), f"{asked}: {text[:200]!r}")
        # A page from the network has no say about files of this computer, nor about its neighbours' shares.
        return {name: each for name, each in found.items() if re.match(r"https?://", each, re.I)}

    @contextlib.contextmanager
    def open(self, address: str, start: int = 0, accept: str = "*/*") -> Iterator[Answer]:
        """The content from byte ``start`` on, or from an earlier one: ``Answer.start`` says from where.

        Raises SetUpFailed, Stalled if another try may help.
        """
        path = _local(address)
        if path is not None:
            with open(str(path), "rb") as file:
                file.seek(start)
                yield Answer(file, start, "", address, 0.0)
            return
        name = host(address)
        with _told(name):
            answer = self._open(self._request(address, start, accept))
        with contextlib.closing(answer):
            kind = str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
            if accept == "*/*" and kind == "text/html":
                raise SetUpFailed(say(sentences.WEB_PAGE, host=name), f"{bare(address)} is a page")
            if answer.status == 206:
                told = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
                if not told or int(told.group(1)) > start:
                    raise SetUpFailed(say(sentences.SERVER_ERROR, host=name, status="206"), str(answer.headers))
                start = int(told.group(1))
            else:
                start = 0
            yield Answer(answer, start, kind, answer.geturl(), self._settings.timeout)

    def _open(self, request: urllib.request.Request) -> Any:
        with self._guard:
            opener = self._opener = self._opener or self._make_opener()
        try:
            return opener.open(request, timeout=self._settings.timeout)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLCertVerificationError) or not self._learn_certificates():
                raise
        return self._make_opener().open(request, timeout=self._settings.timeout)

    def _learn_certificates(self) -> bool:
        """Fetch certifi without looking at certificates: that its sha256 is right is enough.

        Only from the kit's own index and without passwords, for whoever answers may be an impostor.
        """
        with self._learning:
            wheel, self._roots = self._roots, None
            if wheel is None:
                return bool(self._certificates)
            public = replace(self._settings, trusted=("*",), client_certificate="", indexes=[""], find_links=[])
            careless = Web(public, self._index)
            careless._names = None
            with contextlib.suppress(SetUpFailed):  # what is told is the certificate
                for address in careless.addresses(wheel):
                    with careless.open(address) as answer:
                        content = _whole(answer, wheel.size)
                    if hashlib.sha256(content).hexdigest() == wheel.sha256:
                        with zipfile.ZipFile(io.BytesIO(content)) as archive:
                            self._certificates = archive.read("certifi/cacert.pem").decode("ascii", "replace")
                        with self._guard:
                            self._opener = None
                        return True
            return False

    def _request(self, address: str, start: int, accept: str) -> urllib.request.Request:
        """Names and passwords of a server's addresses go into a header, as those of a netrc file do."""
        parts = urlsplit(urldefrag(address)[0])
        named = (self._names or {}).get(_server(parts), parts)
        user, password = (named.username, named.password) if self._names is not None else (None, None)
        if user is None and self._names is not None:
            with contextlib.suppress(OSError, netrc.NetrcParseError, TypeError, ValueError):
                user, _, password = netrc.netrc().authenticators(parts.hostname or "") or (None, None, None)
        headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "repaint-bridge"}
        if user is not None:
            pair = f"{unquote(user)}:{unquote(password or '')}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        if start:
            headers["Range"] = f"bytes={start}-"
        return urllib.request.Request(bare(address), headers=headers)

    def _make_opener(self) -> urllib.request.OpenerDirector:
        if ssl is None:
            raise SetUpFailed(say(sentences.NO_SSL))
        proxies = {kind: proxy for kind, proxy in self._settings.proxies.items() if kind in ("http", "https")}
        for proxy in proxies.values():
            if urlsplit(proxy).scheme not in ("http", "https", ""):
                raise SetUpFailed(say(sentences.PROXY_KIND, proxy=host(proxy)), "")
        handlers: List[Any] = [urllib.request.ProxyHandler(proxies), _KeepsSecrets()]
        handlers.append(_https(self._settings, self._certificates))
        return urllib.request.build_opener(*handlers)


class Answer:
    """What is read from an address: ``start``: which byte comes first, ``kind``: its media type."""

    def __init__(self, file: Any, start: int, kind: str, address: str, timeout: float) -> None:
        self.start, self.kind, self.address = start, kind, address
        self._file, self._timeout = file, timeout
        self._window, self._heard = time.monotonic(), 0

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; b"" at the end. Raises Stalled."""
        if not self._timeout:  # a file of this computer
            return bytes(self._file.read(size))
        with _told(host(self.address)):
            piece = bytes(self._file.read1(size))
            if not piece and self._file.length:  # the line was cut
                raise http.client.IncompleteRead(b"", self._file.length)
        self._heard += len(piece)
        now = time.monotonic()
        if now - self._window > self._timeout:
            if self._heard < SLOWEST * self._timeout and piece:
                raise Stalled(say(sentences.STALLED, host=host(self.address)), f"{self._heard} bytes in a while")
            self._window, self._heard = now, 0
        return piece


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Every trouble of the network as one of the sentences."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise SetUpFailed(say(sentences.SERVER_ERROR, host=name, status="416"), str(error)) from None
        if error.code == 407:
            raise SetUpFailed(say(sentences.PROXY_DENIED), str(error)) from None
        if error.code in (401, 403):
            raise SetUpFailed(say(sentences.DENIED, host=name, status=error.code), str(error)) from None
        if error.code in (404, 410):
            raise SetUpFailed(say(sentences.NOT_THERE, name=error.url, host=name), str(error), "404") from None
        raise Stalled(say(sentences.SERVER_ERROR, host=name, status=error.code), str(error)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise SetUpFailed(say(sentences.CERTIFICATE, host=name), str(reason)) from None
        if isinstance(error, http.client.InvalidURL) or not isinstance(error, (OSError, http.client.HTTPException)):
            raise SetUpFailed(say(sentences.BAD_ADDRESS, host=name), type(error).__name__) from None
        if "Tunnel connection failed: 407" in str(reason):
            raise SetUpFailed(say(sentences.PROXY_DENIED), str(reason)) from None
        silent = isinstance(reason, (socket.timeout, ConnectionResetError, http.client.HTTPException))
        sentence = sentences.STALLED if silent else sentences.NO_NETWORK
        raise Stalled(say(sentence, host=name), repr(reason)) from None


class _KeepsSecrets(urllib.request.HTTPRedirectHandler):
    """A password is for the server that asks for it, not for the one that it names; nor is the proxy's."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: email.message.Message, newurl: str
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if made is not None:
            made.remove_header("Proxy-authorization")  # is added again where the proxy is asked
            if _server(urlsplit(newurl)) != _server(urlsplit(req.full_url)):
                made.remove_header("Authorization")
        return made


def _https(settings: Settings, certificates: str) -> urllib.request.HTTPSHandler:
    """Trusts as pip was told, or as the system does, and ``certificates`` besides."""
    context = ssl.create_default_context()
    if settings.certificate:
        path = Path(settings.certificate)
        with contextlib.suppress(OSError):
            context.load_verify_locations(**({"capath": str(path)} if path.is_dir() else {"cafile": str(path)}))
    elif not context.cert_store_stats()["x509_ca"]:
        for bundle in BUNDLES:
            if Path(bundle).is_file():
                context.load_verify_locations(cafile=bundle)
                break
    if certificates:
        context.load_verify_locations(cadata=certificates)
    if settings.client_certificate:
        with contextlib.suppress(OSError):
            context.load_cert_chain(settings.client_certificate)
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            parts = urlsplit(req.full_url)
            trusted = {parts.hostname, parts.netloc, "*"} & set(settings.trusted)
            chosen = unchecked if trusted else context
            return self.do_open(http.client.HTTPSConnection, req, context=chosen)  # type: ignore[arg-type,unused-ignore]

    return Https()


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: List[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.found.append(target)
        elif tag == "base" and target:
            self.base = target


def links(page: str, address: str) -> Dict[str, str]:
    """The addresses that a page names, by the last part of their path."""
    parser = _Links()
    parser.feed(page)
    base = urljoin(address, parser.base)
    found = [urldefrag(urljoin(base, each))[0] for each in parser.found]
    return {unquote(urlsplit(each).path.rsplit("/", 1)[-1]): each for each in found}


def host(address: str) -> str:
    """The host of an address for people; a folder is its own name."""
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return bare(address)


def _server(parts: SplitResult) -> Tuple[str, str]:
    """To whom a password belongs: the same host at another port, or without https, is somebody else."""
    return parts.scheme, parts.netloc.rpartition("@")[2]


def bare(address: str) -> str:
    """An address as servers and the log may see it: without name and password."""
    try:
        parts = urlsplit(urldefrag(address)[0])
    except ValueError:
        return re.sub(r"//.*@", "//", address)
    return urlunsplit(parts._replace(netloc=_server(parts)[1]))


def _whole(answer: Answer, longest: int) -> bytes:
    """All that is read from an address; only the beginning, longer than ``longest``, if it is longer."""
    content = bytearray()
    while len(content) <= longest:
        piece = answer.read(1 << 16)
        if not piece:
            break
        content += piece
    return bytes(content)


def _local(address: str) -> Path | None:
    """The file or folder that an address means; None if it lies in the network."""
    if address.lower().startswith("file:"):
        return Path(urllib.request.url2pathname(urlsplit(address).path))
    return None if re.match(r"https?://", address, re.I) else Path(address).expanduser()
