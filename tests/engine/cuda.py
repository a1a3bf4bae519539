"""What only a CUDA device can tell: ``python -m tests.engine.cuda --out DIR`` runs the engine's commands there.

Each is a process of its own: a hole, an extension and a tile by both built-in models, and learning within its budgets.
Pictures land in DIR, a table on the terminal; what fails is a line of it. ``--device cpu`` makes the pictures that
``--against DIR`` compares with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from engine.files import imagefile

ASSETS = Path(__file__).parents[2] / "engine" / "assets"


def run(*arguments: str, timeout: float = 300.0) -> tuple[float, dict[str, float | str]]:
    """Wall seconds of one command, and its JSON report."""
    began = time.monotonic()
    command = [sys.executable, "-m", "engine", *arguments, "--json"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return timeout, {"failed": "took too long"}
    seconds = time.monotonic() - began
    if ended.returncode:
        return seconds, {"failed": ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else "?"}
    return seconds, json.loads(ended.stdout.strip().splitlines()[-1])


def difference(one: Path, other: Path) -> str:
    """Mean absolute difference of two pictures, in 255ths."""
    if not (one.is_file() and other.is_file()):
        return "-"
    a, b = (imagefile.read(path).rgba8().astype(np.float32) for path in (one, other))
    return f"{np.abs(a - b).mean():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--against", type=Path, help="a folder of an earlier run, on another device")
    parser.add_argument("--budgets", default="15,60", help="seconds of learning; empty: none")
    arguments = parser.parse_args()
    out, device = arguments.out, arguments.device
    out.mkdir(parents=True, exist_ok=True)
    demo, hole, crop = ASSETS / "demo.jpg", ASSETS / "demo-selection.png", out / "crop.png"
    cv2.imwrite(str(crop), cv2.imread(str(demo))[-256:, :256])
    tasks = {
        "inpaint": (str(demo), "-m", str(hole)),
        "extend": (str(crop), "--right", "128"),
        "tile": (str(crop),),
    }
    print(f"| on {device} | seconds | whole process | mean difference, of 255 |\n|---|---|---|---|")

    def paint(task: str, model: str, title: str) -> None:
        path = out / f"{task}-{title}.png"
        wall, report = run(task, *tasks[task], "-o", str(path), "--model", model, "--seed", "1", "--device", device)
        told = report.get("failed") or report["seconds"]
        off = difference(path, arguments.against / path.name) if arguments.against else "-"
        print(f"| {task}, {title} | {told} | {wall:.1f} | {off} |", flush=True)

    for model in ("exemplar", "texture"):
        for task in tasks:
            paint(task, model, model)
    for budget in filter(None, arguments.budgets.split(",")):
        folder = out / f"learned-{budget}"
        given = ("--seconds", budget, "-o", str(folder), "--device", device)
        wall, report = run("learn", *tasks["inpaint"], *given)
        told = report.get("failed") or f"{report['seconds']} ({report['steps']} steps)"
        print(f"| learn for {budget} s | {told} | {wall:.1f} | - |", flush=True)
        if "failed" not in report:
            paint("inpaint", str(folder), f"learned-{budget}")


if __name__ == "__main__":
    main()
