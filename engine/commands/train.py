"""The command ``python -m engine train``; nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from engine import devices
from engine.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m engine train``."""
    parser.add_argument("--data", type=Path, help="corpus folder (default: where 'data build' puts it)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, help="length of the whole run in steps")
    parser.add_argument("--minutes", type=float, help="length of the whole run in minutes of work")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--start", type=Path, metavar="DIR", help="a run that is new begins with this model's weights")
    parser.add_argument("--batch", type=int, help="pictures of 64 × 64 pixels per step")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--ema", type=float, help="decay of the averaged weights")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--save-every", type=float, default=180.0, metavar="SECONDS", help="between checkpoints")
    parser.add_argument("--device", choices=devices.KINDS)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that cut crops (default: none; CUDA: all)")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the model there at the end")


def main(args: argparse.Namespace) -> None:
    """Train, or go on training.

    Raises:
        BadInput: no length given, no corpus, the run's folder is taken, or no such weights to start with.
    """
    from engine.data import default_folder

    data = args.data or default_folder()
    if not args.steps and not args.minutes:
        raise BadInput("no_length", "Say how long to train: --steps N or --minutes M.")
    if not (data / "manifest.json").is_file():
        raise BadInput("no_corpus", f"There is no corpus in {data}; run 'python -m engine data build' first.")
    if (args.out / "checkpoint.pt").is_file() and not args.resume:
        raise BadInput("run_exists", f"{args.out} holds a run already; add --resume or choose another folder.")

    import torch

    from engine.learning import train

    config = train.load_config(args.out) if args.resume else None
    if config is None:
        given = {name: getattr(args, name) for name in ("batch", "learning_rate", "ema", "seed")}
        config = replace(train.Config(), **{name: value for name, value in given.items() if value is not None})
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = train.Trainer(data, args.out, config, device=args.device, workers=args.workers, start=args.start)
    if args.resume and trainer.restore():
        print(f"going on at step {trainer.state.step}", flush=True)
    put_back = train.stop_on_signals(trainer)
    try:
        ended = trainer.run(
            steps=args.steps,
            minutes=args.minutes,
            save_every=args.save_every,
            report=lambda line: print(line, flush=True),
        )
    finally:
        put_back()
    print(ended)
    if args.export:
        from engine.learning import export

        export.export(args.out, data, args.export)
