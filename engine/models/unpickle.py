"""Pickled weights → safetensors, in a process of its own: ``python -P unpickle.py IN OUT``.

Run as a file, never imported by the engine: whatever a hostile file might still do to
``torch.load(weights_only=True)``, it does it to a process that holds nothing, and only plain tensors come back.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

OK, UNSAFE, NO_WEIGHTS, CANNOT_WRITE = 0, 3, 4, 5
_WRAPPERS = ("state_dict", "model", "ema", "params")


def main(source: str, target: str) -> int:
    import torch
    from safetensors.torch import save_file

    try:
        loaded = _load(torch, source)
    except pickle.UnpicklingError as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return UNSAFE
    except Exception as error:  # whatever a broken archive raises
        print(repr(error), file=sys.stderr)
        return NO_WEIGHTS
    for name in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict) or not loaded:
        print(f"a {type(loaded).__name__}, not named weights", file=sys.stderr)
        return NO_WEIGHTS
    state = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            print(f"{name!r} is not a weight", file=sys.stderr)
            return NO_WEIGHTS
        state[name] = tensor.detach().clone().contiguous()
    try:
        save_file(state, target)
    except Exception as error:  # safetensors reports a full disk as its own error
        print(repr(error), file=sys.stderr)
        return CANNOT_WRITE
    return OK


def _load(torch, source):
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):  # not the zip format: no memory mapping
        return torch.load(source, map_location="cpu", weights_only=True)


def _leave_with_the_caller() -> None:
    """Die when the process that started this one dies, however it does: its end of standard input closes then."""
    if sys.platform == "linux":  # at once, even within a long call of native code
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def watch() -> None:
        while os.read(0, 4096):  # not sys.stdin: its lock, held at the end, would abort the interpreter
            pass
        os._exit(NO_WEIGHTS)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _leave_with_the_caller()
    sys.exit(main(*sys.argv[1:]))
