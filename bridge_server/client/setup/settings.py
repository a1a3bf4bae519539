"""What pip and uv were told about indexes, folders of files, certificates and proxies: their variables and files.

pip: "Configuration files" of its user guide; uv: "Configuration files" and "Environment variables" of its reference.
Variables come before files, a user's file before the system's, and uv's before pip's;
but a proxy that either of them names comes before the one that all programs use, as it does there.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Tuple

TIMEOUT = 20.0  # seconds without a byte
LONGEST = 60.0


@dataclass(frozen=True)
class Settings:
    """``indexes``: addresses of simple indexes in their order, the first of them the main one ("": the kit's own).

    ``find_links``: folders and pages of files.  ``certificate`` and ``client_certificate``: files, or "";
    ``trusted``: hosts whose certificate is not looked at; ``proxies``: by scheme, as urllib has them.
    """

    indexes: List[str] = field(default_factory=lambda: [""])
    find_links: List[str] = field(default_factory=list)
    no_index: bool = False
    certificate: str = ""
    client_certificate: str = ""
    trusted: Tuple[str, ...] = ()
    timeout: float = TIMEOUT
    proxies: Dict[str, str] = field(default_factory=dict)


def read(
    environ: Mapping[str, str] | None = None, platform: str | None = None, home: Path | None = None, root: str = "/"
) -> Settings:
    """The settings of this user; the arguments default to this process's own and are given in tests only."""
    environ = os.environ if environ is None else environ
    platform = platform or sys.platform
    home = home or Path.home()
    pip, uv = _pip(environ, platform, home, Path(root)), _uv(environ, platform, home, Path(root))
    main = uv.get("index", []) + _list(pip.get("index-url", ""))
    extra = uv.get("extra", []) + _list(pip.get("extra-index-url", ""))
    proxies = {} if environ is not os.environ else dict(urllib.request.getproxies())
    for scheme in ("http", "https"):
        proxy = uv.get(f"{scheme}-proxy") or pip.get("proxy")
        proxy = proxy or environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
        proxy = proxy or proxies.get(scheme) or environ.get("ALL_PROXY") or environ.get("all_proxy")
        if proxy:
            proxies[scheme] = proxy if "://" in proxy else "http://" + proxy
    timeout = uv.get("timeout") or pip.get("timeout") or pip.get("default-timeout") or TIMEOUT
    return Settings(
        indexes=[(main or [""])[0], *dict.fromkeys(each for each in extra + main[1:] if each)],
        find_links=list(dict.fromkeys(uv.get("find-links", []) + _list(pip.get("find-links", "")))),
        no_index=pip.get("no-index", "").lower() in ("1", "true", "yes", "on") or bool(uv.get("no-index")),
        certificate=pip.get("cert", "") or environ.get("SSL_CERT_FILE", "") or environ.get("REQUESTS_CA_BUNDLE", ""),
        client_certificate=pip.get("client-cert", "") or environ.get("SSL_CLIENT_CERT", ""),
        trusted=tuple(_list(pip.get("trusted-host", "")) + uv.get("trusted", [])),
        timeout=min(max(_number(timeout), 1.0), LONGEST),
        proxies={scheme: proxy for scheme, proxy in proxies.items() if scheme != "all"},
    )


def for_uv(settings: Settings) -> Dict[str, str]:
    """Variables by which uv, too, goes through the proxies and trusts the certificates that only pip was told of."""
    variables = {f"{scheme.upper()}_PROXY": proxy for scheme, proxy in settings.proxies.items() if scheme != "no"}
    if settings.certificate:
        variables["SSL_CERT_FILE"] = settings.certificate
    return variables


def _list(text: str) -> List[str]:
    return text.split()


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return TIMEOUT


def _pip(environ: Mapping[str, str], platform: str, home: Path, root: Path) -> Dict[str, str]:
    """pip's settings by their long names."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if platform == "win32":
        files = [Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "pip" / "pip.ini", home / "pip" / "pip.ini"]
        files.append(Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "pip" / "pip.ini")
    else:
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        folders = (environ.get("XDG_CONFIG_DIRS") or str(root / "etc/xdg")).split(os.pathsep)
        files = [Path(each) / "pip" / "pip.conf" for each in reversed(folders) if each]
        files += [root / "etc/pip.conf", home / ".pip" / "pip.conf"]
        if platform == "darwin":
            files.insert(0, root / "Library/Application Support/pip/pip.conf")
            support = home / "Library" / "Application Support" / "pip"
            files.append(support / "pip.conf" if support.is_dir() else config / "pip" / "pip.conf")
        else:
            files.append(config / "pip" / "pip.conf")
    if named:
        files = [] if named == os.devnull else [*files, Path(named)]
    settings: Dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(str(file), encoding="utf-8")
        except (OSError, ValueError, configparser.Error):
            continue
        for section in ("global", "download", "install"):
            if parser.has_section(section):
                settings.update((name.replace("_", "-"), value) for name, value in parser.items(section))
    for variable, value in environ.items():
        if variable.upper().startswith("PIP_") and value:
            settings[variable[4:].lower().replace("_", "-")] = value
    return settings


def _uv(environ: Mapping[str, str], platform: str, home: Path, root: Path) -> Dict[str, Any]:
    """uv's settings: lists of addresses under index, extra, find-links, trusted; others by their names."""
    if platform == "win32":
        roaming = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
        files = [Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "uv" / "uv.toml", roaming / "uv" / "uv.toml"]
    else:
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        files = [root / "etc/uv/uv.toml", config / "uv" / "uv.toml"]
    if environ.get("UV_CONFIG_FILE"):
        files = [Path(environ["UV_CONFIG_FILE"])]
    found: Dict[str, Any] = {"index": [], "extra": [], "find-links": [], "trusted": []}
    for file in [] if environ.get("UV_NO_CONFIG") else reversed(files):
        try:
            told = _toml(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for index in told.pop("index", []):
            found["index" if index.get("default") else "extra"].append(index.get("url", ""))
        found["index"] += [told["index-url"]] if "index-url" in told else []
        found["extra"] += told.get("extra-index-url", [])
        found["find-links"] += told.get("find-links", [])
        found["trusted"] += told.get("allow-insecure-host", [])
        for name in ("no-index", "http-proxy", "https-proxy"):
            found.setdefault(name, told.get(name))
    main = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    found["index"] = [re.sub(r"^\w[\w-]*=", "", main)] * bool(main) + found["index"]
    named = [re.sub(r"^\w[\w-]*=(?=\w+:)", "", each) for each in _list(environ.get("UV_INDEX", ""))]
    found["extra"] = named + _list(environ.get("UV_EXTRA_INDEX_URL", "")) + found["extra"]
    places = (each.strip() for each in environ.get("UV_FIND_LINKS", "").split(","))  # their names may have spaces
    found["find-links"] = [each for each in places if each] + found["find-links"]
    found["trusted"] += _list(environ.get("UV_INSECURE_HOST", ""))
    found["timeout"] = environ.get("UV_HTTP_TIMEOUT")
    return found


def _toml(text: str) -> Dict[str, Any]:
    """The strings, flags and lists of strings at the top of a uv.toml, its [pip] and its [[index]] tables.

    Python has a reader of its own only since 3.11.  Raises ValueError where a value is none of these.
    """
    found: Dict[str, Any] = {"index": []}
    place: Dict[str, Any] = found
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    for match in re.finditer(r"^\s*(\[\[?[\w.-]+\]\]?)|^\s*([\w-]+)\s*=\s*(\[[^\]]*\]|[^\n]*)", text, re.M):
        table, name, value = match.groups()
        if table:
            place = found if table == "[pip]" else {}
            if table == "[[index]]":
                found["index"].append(place)
            continue
        value = re.sub(r"\s+#[^\"'\n]*$", "", value.strip(), flags=re.M)
        value = re.sub(r"'([^'\n]*)'", lambda quoted: json.dumps(quoted.group(1)), value)
        try:
            place[name] = json.loads(re.sub(r",\s*\]$", "]", value))
        except ValueError:  # a date, a table within a line: none of what is looked for
            continue
    return found
