"""The clock: this engine, diffusers' RePaintPipeline and a plain loop, on the same network with the same calls.

Every row is a process of its own (``python -m engine.bench.speed``), so that its peak memory is its own; they are
started one after the other and then timed in turns, one at a time.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from engine import api, devices
from engine.bench import sparse
from engine.bench.cost import device_name, load_average, measured, resident_mib
from engine.errors import BadInput, EngineError
from engine.sampling import linear_alpha_bar
from engine.untrusted import own_input

TIMED = (20, 5, 2)
"""The timed schedule T/L/n: 35 network calls."""
IMITATED = (2, 2, 1)
"""2 calls, for bfloat16 on a processor without instructions for it: tens of times slower, and good to know."""
ADM = "adm-256-random"
"""A network of the size of Dhariwal & Nichol's 256² model with random weights (CUDA only: 2240 GFLOP a call)."""
WHOLE_CALLS = 200
"""Presets of up to so many calls are timed whole; longer ones are their calls times the seconds per call."""


Timed = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """One line of the table: who runs the network, and in which number type."""

    name: str
    title: str
    engine: str
    dtype: str
    cuda_only: bool = False


ROWS = (
    Row("ours-fp32", "this engine, fp32", "ours", "float32"),
    Row("ours-bf16", "this engine, bf16", "ours", "bfloat16"),
    Row("diffusers-fp32", "diffusers RePaintPipeline, fp32", "diffusers", "float32"),
    Row("plain-fp32", "plain loop, fp32", "plain", "float32"),
    Row("plain-bf16", "plain loop, bf16", "plain", "bfloat16"),
    Row("graph-bf16", "plain loop, bf16, CUDA graph", "graph", "bfloat16", cuda_only=True),
    Row("compile-bf16", "plain loop, bf16, torch.compile", "compile", "bfloat16", cuda_only=True),
)


def measure(model: str, size: int, rounds: int, device: str | None) -> dict[str, Any]:
    """Time every row ``rounds`` times in turns; also the presets' totals, the memory of a large picture, and what many
    small places cost.

    Raises:
        BadInput: values out of range.
        EngineError: a row's process failed.
    """
    if not 64 <= size <= 512 or size % 32:
        raise BadInput("bad_size", f"The size must be a multiple of 32 from 64 to 512, not {size}.")
    if not 1 <= rounds <= 100:
        raise BadInput("bad_rounds", f"The number of rounds must be 1 to 100, not {rounds}.")
    chosen = devices.chosen(device)
    result: dict[str, Any] = {"device": device_name(chosen), "size": size, "rounds": rounds, "load": [load_average()]}
    models = [model, ADM] if chosen.type == "cuda" else [model]
    result["rows"] = [row for name in models for row in _timed(name, 256 if name == ADM else size, rounds, chosen)]
    with _Process("presets", model, size, chosen) as process:
        result["presets"] = process.ask("run")["presets"]
    with _Process("large", model, size, chosen) as process:
        result["large"] = process.ask("run")
    with _Process("sparse", model, size, chosen) as process:
        result["sparse"] = process.ask("run")["sparse"]
    result["load"].append(load_average())
    return result


def _timed(model: str, size: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    rows = [row for row in ROWS if device.type == "cuda" or not row.cuda_only]
    processes = [_Process(row.name, model, size, device) for row in rows]
    try:
        for process in processes:  # first runs warm up
            process.ask("run")
        answers: list[list[dict[str, Any]]] = [[] for _ in rows]
        for _ in range(rounds):
            for process, kept in zip(processes, answers, strict=True):
                kept.append(process.ask("run"))
    finally:
        for process in processes:
            process.close()
    out = []
    for row, kept in zip(rows, answers, strict=True):
        seconds = [answer["seconds"] for answer in kept]
        calls = kept[0]["calls"]
        out.append(
            {
                "row": row.name,
                "title": row.title,
                "model": model,
                "size": size,
                "calls": calls,
                "seconds": float(np.median(seconds)),
                "fastest": min(seconds),
                "slowest": max(seconds),
                "seconds_per_call": float(np.median(seconds)) / calls,
                "peak_mib": max((a["peak_mib"] for a in kept if a["peak_mib"] is not None), default=None),
            }
        )
    for entry in out:
        entry["ratio"] = entry["seconds_per_call"] / out[0]["seconds_per_call"]
    return out


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"{result['device']}; {result['rounds']} rounds in turns, medians (fastest … slowest); load average "
        + " … ".join("?" if value is None else f"{value:.1f}" for value in result["load"]),
        "",
        "| | model | px | calls | seconds | s per call | × this engine, fp32 | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        peak = "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        lines.append(
            f"| {row['title']} | {row['model']} | {row['size']} | {row['calls']} "
            f"| {row['seconds']:.2f} ({row['fastest']:.2f} … {row['slowest']:.2f}) "
            f"| {row['seconds_per_call']:.4f} | {row['ratio']:.2f} | {peak} |"
        )
    lines += ["", f"Presets at {result['size']} px:", "", "| preset | calls | seconds | |", "|---|---|---|---|"]
    for preset in result["presets"]:
        how = "measured" if preset["measured"] else "calls × seconds per call"
        lines.append(f"| {preset['preset']} | {preset['calls']} | {preset['seconds']:.1f} | {how} |")
    large = result["large"]
    if large["small_mib"] is not None:
        lines += [
            "",
            f"A selection of 64 × 64 in a picture of 6000 × 4000: {large['large_mib']:.0f} MiB beyond the picture and "
            f"its selection ({large['buffers_mib']:.0f} MiB); the same in 256 × 256: {large['small_mib']:.0f} MiB.",
        ]
    return "\n".join([*lines, "", "Many small places:", "", *sparse.table(result["sparse"])])


class _Process:
    """A row's process: one line in, one line of JSON out."""

    def __init__(self, row: str, model: str, size: int, device: torch.device) -> None:
        command = [sys.executable, "-m", "engine.bench.speed", row, model, str(size), device.type]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.row = row
        self.ask("ready")

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            self.close()
            raise EngineError(
                "bench_failed", f"The row {self.row} of the bench ended early; see what it printed.", repr(error)
            ) from error
        if "error" in answer:
            self.close()
            raise EngineError("bench_failed", answer["error"])
        return dict(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ------------------------------------------------------------------------------------------------- inside a row


def main(argv: list[str]) -> None:
    """A row's process: answer ``ready``, then each ``run``, until the input ends."""
    row, model, size, device = argv[0], argv[1], int(argv[2]), torch.device(argv[3])
    run: Callable[[], dict[str, Any]] | None = None
    for line in own_input():
        try:
            if run is None:
                run = _prepared(row, model, size, device)
            answer = run() if line.strip() == b"run" else {"ready": True}
        except EngineError as error:
            answer = {"error": error.sentence}
        print(json.dumps(answer), flush=True)


def _prepared(row: str, model: str, size: int, device: torch.device) -> Callable[[], dict[str, Any]]:
    if row == "presets":
        return lambda: _presets(model, size, device)
    if row == "large":
        return lambda: _large(model, device)
    if row == "sparse":
        return lambda: {"sparse": sparse.measure(device)}
    chosen = next(r for r in ROWS if r.name == row)
    dtype = getattr(torch, chosen.dtype)
    network, loaded = _network(model, dtype, device)
    timed = IMITATED if dtype == torch.bfloat16 and devices.inference_dtype(device) != dtype else TIMED
    runner = {"ours": _ours, "diffusers": _diffusers}.get(chosen.engine)
    once = runner(network, loaded, size, timed) if runner else _plain(network, size, chosen.engine, timed)

    def run() -> dict[str, Any]:
        with measured(device) as cost:
            calls = once()
        return {"calls": calls, "seconds": cost.seconds, "peak_mib": cost.peak_mib}

    return run


def _network(model: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, api.Model]:
    """The bare ``UNet2DModel`` in the row's number type, and the engine's model around that very network."""
    from engine.canvas import Geometry
    from engine.models import ModelInfo, find, folders, unet

    if model == ADM:
        network = _random_adm()
    else:
        info = find(model)
        if info.folder is None:
            raise BadInput("bad_model", "The bench needs a model in diffusers layout.")
        folder = folders.part_folder(info.folder, "unet")
        network = unet.build(json.loads((folder / "config.json").read_text()), load_file(folder / folders.WEIGHTS))
    logging.getLogger("diffusers").setLevel(logging.ERROR)  # it warns of casts that concern no module here
    network = network.to(device=device, dtype=dtype).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def predict(x: torch.Tensor, timestep: int, _label: int | None = None) -> torch.Tensor:
        with torch.inference_mode():
            x = x.to(dtype).contiguous(memory_format=torch.channels_last)
            return network(x, timestep, return_dict=False)[0].to(torch.float32)

    if model == ADM:
        info, outer = ModelInfo(ADM, ADM, "diffusers-pixel", "–"), Geometry(32, 64, 256, any_scale=False)
        return network, api.Model(info, predict, linear_alpha_bar(), "epsilon", outer, device)
    return network, replace(api.load_model(model, device.type), predict=predict)


def _random_adm() -> Any:
    """The 256² network of Dhariwal & Nichol 2021 (552.8 M parameters), random weights."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=256,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(256, 256, 512, 512, 1024, 1024),
        down_block_types=("ResnetDownsampleBlock2D",) * 3 + ("AttnDownBlock2D",) * 3,
        up_block_types=("AttnUpBlock2D",) * 3 + ("ResnetUpsampleBlock2D",) * 3,
        attention_head_dim=64,
        resnet_time_scale_shift="scale_shift",
        attn_norm_num_groups=32,
        downsample_type="resnet",
        upsample_type="resnet",
        norm_eps=1e-5,
        freq_shift=0,
        flip_sin_to_cos=True,
    )


def _question(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise and a hole that makes the model see all of it: (size, size, 4), (size, size) uint8."""
    image = np.random.default_rng(0).integers(0, 256, (size, size, 4), dtype=np.uint8)
    image[..., 3] = 255
    selection = np.zeros((size, size), np.uint8)
    selection[size // 8 : size - size // 8, size // 8 : size - size // 8] = 255
    return image, selection


def _ours(_unet: Any, model: api.Model, size: int, timed: Timed) -> Callable[[], int]:
    image, selection = _question(size)
    job = api.Job(
        image,
        selection,
        model=model.info.id,
        preset="repaint",
        seed=1,
        steps=timed[0],
        jump_length=timed[1],
        jump_samples=timed[2],
    )

    def once() -> int:
        *_, last = api.run(job, model)
        assert isinstance(last, api.Finished)
        return last.calls

    return once


def _diffusers(unet: Any, _model: api.Model, size: int, timed: Timed) -> Callable[[], int]:
    """RePaintPipeline on the same U-Net; what the output means is of no concern to the clock.

    There is no bf16 row: the pipeline fails at its end, numpy knows no bfloat16.
    """
    warnings.simplefilter("ignore", FutureWarning)
    from diffusers import RePaintScheduler
    from diffusers.pipelines.deprecated import RePaintPipeline

    pipeline = RePaintPipeline(unet, RePaintScheduler())
    pipeline.set_progress_bar_config(disable=True)
    image, selection = _question(size)
    picture = torch.from_numpy(image[..., :3].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    keep = torch.from_numpy((selection == 0).astype(np.float32))[None, None]
    calls = [0]
    unet.register_forward_pre_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))

    def once() -> int:
        calls[0] = 0
        pipeline(
            image=picture,
            mask_image=keep,
            num_inference_steps=timed[0],
            jump_length=timed[1],
            jump_n_sample=timed[2],
            generator=torch.Generator(unet.device).manual_seed(1),
            output_type="np",
        )
        return calls[0]

    return once


def _plain(unet: Any, size: int, how: str, timed: Timed) -> Callable[[], int]:
    """The least one can do: the network in a loop with the arithmetic of a step and nothing else."""
    from engine.sampling import schedule

    calls = schedule.uniform(*timed).calls
    device, dtype = unet.device, unet.dtype
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda x, t: unet(x, t, return_dict=False)[0]  # noqa: E731
    start = torch.randn(1, 3, size, size, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    if how == "compile":
        network = torch.compile(network, mode="max-autotune-no-cudagraphs")
    if how == "graph":
        network = _graphed(network, start)

    def once() -> int:
        x = start.clone()
        with torch.inference_mode():
            for k in range(calls):
                timestep = torch.full((1,), 999 - 999 * k // calls, device=device)
                x = 0.9 * x + 0.1 * network(x, timestep)[:, :3] + 0.05 * torch.randn_like(x)
        return calls

    return once


def _graphed(
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], like: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """One network call recorded as a CUDA graph: for small networks, where launches cost more than arithmetic."""
    x, timestep = like.clone(), torch.zeros(1, dtype=torch.int64, device=like.device)
    stream = torch.cuda.Stream()
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            network(x, timestep)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        out = network(x, timestep)

    def replay(new_x: torch.Tensor, new_timestep: torch.Tensor) -> torch.Tensor:
        x.copy_(new_x)
        timestep.copy_(new_timestep)
        graph.replay()
        return out

    return replay


def _presets(model_id: str, size: int, device: torch.device) -> dict[str, Any]:
    """Each preset's seconds as installed: whole up to 200 calls, else from the first 35."""
    model = api.load_model(model_id, device.type)
    image, selection = _question(size)
    api.warm_up(model)
    out = []
    for name, preset in api.PRESETS.items():
        whole = preset.calls <= WHOLE_CALLS
        counted = 0
        with measured(device) as cost:
            events = api.run(api.Job(image, selection, model=model.info.id, seed=1), model, preset=preset)
            for event in events:
                if isinstance(event, api.Step):
                    counted = event.call
                if not whole and counted >= 35:
                    break
        seconds = cost.seconds * preset.calls / counted
        out.append({"preset": name, "calls": preset.calls, "seconds": seconds, "measured": whole})
    return {"presets": out}


def _large(model_id: str, device: torch.device) -> dict[str, Any]:
    """Memory beyond its own buffers that a 64 × 64 selection costs in a small and in a large picture, MiB."""
    model = api.load_model(model_id, device.type)

    def beyond(width: int, height: int) -> tuple[float | None, float]:
        image = np.full((height, width, 4), 255, np.uint8)
        selection = np.zeros((height, width), np.uint8)
        image[:] = 255  # touched, so that it is resident before the clock starts
        selection[:] = 0
        selection[height // 2 : height // 2 + 64, width // 2 : width // 2 + 64] = 255
        before = resident_mib()
        with measured(torch.device("cpu")) as cost:
            job = api.Job(image, selection, model=model.info.id, seed=1, steps=4, jump_length=4, jump_samples=1)
            for _ in api.run(job, model):
                pass
        peak = None if cost.peak_mib is None or before is None else max(0.0, cost.peak_mib - before)
        return peak, (image.nbytes + selection.nbytes) / 2**20

    beyond(256, 256)  # the allocator's own pools fill up
    small, _ = beyond(256, 256)
    large, buffers = beyond(6000, 4000)
    return {"small_mib": small, "large_mib": large, "buffers_mib": buffers}


if __name__ == "__main__":
    main(sys.argv[1:])
