"""Which wheel is for which Python: the tags of file names and the markers of requirements.

Tags as in the packaging user guide's "Platform compatibility tags", markers as in its "Dependency specifiers"; only
what a lock file of final versions needs.
"""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_WINDOWS = {"amd64": "win_amd64", "arm64": "win_arm64", "x86": "win32"}
_OS_NAMES = {"win32": ("nt", "Windows"), "darwin": ("posix", "Darwin")}


@dataclass(frozen=True)
class Target:
    """A Python as wheels see it.

    ``platform`` and ``machine`` as ``sys.platform`` and ``platform.machine()``; ``system``: the version of glibc, or of
    macOS; (0, 0) on Windows and where the C library is another one (musl).
    """

    platform: str
    machine: str
    python: Tuple[int, int]
    system: Tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """For instance "linux-x86_64", as the lock file names platforms."""
        return f"{self.platform}-{self.machine.lower()}"


def rank(file: str, target: Target) -> Optional[Tuple[int, int]]:
    """How well a wheel's file name suits: the smaller the better; None if not at all."""
    parts = file[: -len(".whl")].split("-") if file.endswith(".whl") else []
    if len(parts) not in (5, 6):
        return None
    ranks = []
    for python, abi, platform in itertools.product(*(part.split(".") for part in parts[-3:])):
        one, other = _python_rank(python, abi, target), _platform_rank(platform, target)
        if one is not None and other is not None:
            ranks.append((one, other))
    return min(ranks) if ranks else None


def _python_rank(python: str, abi: str, target: Target) -> Optional[int]:
    own = "cp{}{}".format(*target.python)
    found = re.fullmatch(r"(cp|py)(\d)(\d*)", python)
    if not found or int(found.group(2)) != target.python[0]:
        return None
    minor = int(found.group(3) or 0)
    if python == own and abi == own:
        return 0
    if found.group(1) == "cp" and abi == "abi3" and minor <= target.python[1]:
        return 1 + target.python[1] - minor
    if abi == "none" and (python == own or (found.group(1) == "py" and minor <= target.python[1])):
        return 100 + target.python[1] - minor
    return None


def _platform_rank(platform: str, target: Target) -> Optional[int]:
    if platform == "any":
        return 1000
    machine = target.machine.lower()
    if target.platform == "win32":
        return 0 if platform == _WINDOWS.get(machine) else None
    if target.platform == "darwin":
        found = re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", platform)
        if not found or found.group(3) not in (machine, "universal2"):
            return None
        needed = (int(found.group(1)), int(found.group(2)))
        return 900 - 10 * needed[0] if needed <= target.system else None
    for old, (major, minor) in _MANYLINUX.items():
        platform = re.sub(f"^{old}_", f"manylinux_{major}_{minor}_", platform)
    found = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)", platform)
    if not found:
        return 900 if platform == f"linux_{machine}" else None
    if found.group(4) != machine or (found.group(1) == "musllinux") != (target.system == (0, 0)):
        return None
    needed = (int(found.group(2)), int(found.group(3)))
    if found.group(1) == "manylinux" and needed > target.system:
        return None
    return 800 - needed[1]


def holds(marker: str, target: Target) -> bool:
    """Whether a requirement with this marker is one on ``target``; ValueError if it is none that is understood."""
    if not marker.strip():
        return True
    os_name, system = _OS_NAMES.get(target.platform, ("posix", "Linux"))
    version = "{}.{}".format(*target.python)
    values = {
        "sys_platform": target.platform,
        "platform_machine": target.machine,
        "platform_system": system,
        "os_name": os_name,
        "python_version": version,
        "python_full_version": version + ".0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    try:
        return bool(_evaluated(ast.parse(marker.strip(), mode="eval").body, values))
    except (SyntaxError, KeyError, ValueError) as error:
        raise ValueError(f"marker {marker!r}: {error!r}") from None


def _evaluated(node: ast.expr, values: Dict[str, str]) -> bool:
    """A marker is written as a Python expression of comparisons; nothing of it is run."""
    if isinstance(node, ast.BoolOp):
        parts = [_evaluated(each, values) for each in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        raise SyntaxError(ast.dump(node))
    sides = (node.left, node.comparators[0])
    left, right = (values[each.id] if isinstance(each, ast.Name) else str(ast.literal_eval(each)) for each in sides)
    operator = type(node.ops[0]).__name__
    if operator in ("In", "NotIn"):
        return (left in right) == (operator == "In")
    named = [each.id for each in sides if isinstance(each, ast.Name)]
    one: object = left
    other: object = right
    if named and named[0].startswith("python"):
        length = min(len(left.split(".")), len(right.split(".")))
        one, other = (numbers(text)[:length] for text in (left, right))
    less = one < other  # type: ignore[operator]
    return {
        "Eq": one == other,
        "NotEq": one != other,
        "Lt": less,
        "GtE": not less,
        "LtE": less or one == other,
        "Gt": not less and one != other,
    }[operator]


def numbers(version: str) -> Tuple[int, ...]:
    """The numbers of a version: "3.12.1rc2" is (3, 12, 1, 2)."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version))
