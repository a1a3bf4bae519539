"""Program code that a model's folder brings or names is never run, and no library asks whether it may be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import api
from engine.errors import EngineError
from tests.engine.toys import FOLDER, kinds

TEXTURE = Path(api.__file__).parent / "weights" / "texture"
CODE = "import os\nopen(os.environ['MARK'], 'w').close()\nclass Evil: pass\n"
NAMES = ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoModelForCausalLM", "DiffusionPipeline", "UNet2DModel")
KINDS = ("sd", "inpaint", "sdxl", "sd3", "pixel")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("kinds")
    made = {"sd": FOLDER, "pixel": TEXTURE}
    return made | {kind: kinds.write(kind, place / kind) for kind in ("inpaint", "sdxl", "sd3")}


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the code would leave its mark; whoever asks is told yes."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "evil.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    yield tmp_path / "mark"
    sys.modules.pop("evil", None)


def _configurations(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if path.name.endswith("config.json"))


def _spoiled(path: Path) -> None:
    content = json.loads(path.read_text())
    content["auto_map"] = dict.fromkeys(NAMES, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    path.write_text(json.dumps(content))
    (path.parent / "evil.py").write_text(CODE)


@pytest.mark.promise(10)
@pytest.mark.parametrize("kind", KINDS)
def test_no_part_runs_code(folders: dict[str, Path], tmp_path: Path, mark: Path, kind: str) -> None:
    slots = [path.relative_to(folders[kind]) for path in _configurations(folders[kind])]
    assert len(slots) >= (2 if kind == "pixel" else 5)
    for number, slot in enumerate(slots):
        folder = tmp_path / f"m{number}"
        shutil.copytree(folders[kind], folder)
        _spoiled(folder / slot)
        with pytest.raises(EngineError, match="of its own") as caught:
            api.load_model(str(folder), "cpu")
        assert caught.value.code == "model_code", slot
    assert not mark.exists()


@pytest.mark.promise(10)
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_an_index_imports_nothing(folders: dict[str, Path], tmp_path: Path, mark: Path, kind: str) -> None:
    index = json.loads((folders[kind] / "model_index.json").read_text())
    folder = tmp_path / "model"
    shutil.copytree(folders[kind], folder)
    for part in (*(name for name in index if not name.startswith("_")), "surplus"):
        for named in (["evil", "Evil"], ["evil.evil", "Evil"], ["diffusers", "A", "B"]):
            (folder / "model_index.json").write_text(json.dumps(index | {part: named}))
            with pytest.raises(EngineError, match="of its own"):
                api.load_model(str(folder), "cpu")
    for name in ("evil.Evil", ["evil", "Evil"]):
        (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": name}))
        with pytest.raises(EngineError, match="supported"):
            api.load_model(str(folder), "cpu")
    assert not mark.exists()


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_part_takes_nothing_from_elsewhere(folders: dict[str, Path], tmp_path: Path, mark: Path, kind: str) -> None:
    """PEFT would import the module that an adapter names, and read the weights that it names."""
    adapter = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(tmp_path),
        "auto_mapping": {"parent_library": "evil"},
    }
    parts = {path.parent.name for path in _configurations(folders[kind]) if path.name == "config.json"}
    for part in sorted(parts):
        folder = tmp_path / part
        shutil.copytree(folders[kind], folder)
        (folder / part / "adapter_config.json").write_text(json.dumps(adapter))
        with pytest.raises(EngineError, match="of its own"):
            api.load_model(str(folder), "cpu")
    assert not mark.exists()


def test_a_pixel_models_index_and_code_do_not_count(tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "pixel"
    shutil.copytree(TEXTURE, folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["evil", "Evil"], "unet": ["evil", "Evil"]}))
    for place in (folder, folder / "unet"):
        (place / "evil.py").write_text(CODE)
    api.load_model(str(folder), "cpu")
    assert not mark.exists()


@pytest.mark.promise(10)
def test_a_third_tokenizer_does_not_ask(folders: dict[str, Path], tmp_path: Path, mark: Path) -> None:
    """The one that is loaded as what its folder says it is; as the issue had it."""
    folder = tmp_path / "sd3"
    shutil.copytree(folders["sd3"], folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": ["transformers", "T5EncoderModel"], "tokenizer_3": ["transformers", "T5Tokenizer"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    from transformers import T5Config, T5EncoderModel

    T5EncoderModel(T5Config(vocab_size=40, d_model=160, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(
        folder / "text_encoder_3"
    )
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_3")
    _spoiled(folder / "tokenizer_3" / "tokenizer_config.json")
    with pytest.raises(EngineError, match="of its own"):
        api.load_model(str(folder), "cpu")
    assert not mark.exists()


def test_a_library_that_asks_finds_the_end_of_the_input() -> None:
    """Though the process itself still reads what it was given, which stays open."""
    code = (
        "import sys; from engine import untrusted; own = untrusted.own_input()\n"
        "try:\n    input('run the custom code? ')\nexcept EOFError:\n    print('end')\n"
        "import os; print(os.read(0, 9), own.readline())"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("y\n")
        process.stdin.flush()
        assert "end" in process.stdout.readline()
        assert process.stdout.readline() == "b'' b'y\\n'\n"


COMMAND = """
import runpy, engine.commands.cli as cli
cli.main = lambda: input("run the custom code? ")
runpy.run_module("engine", run_name="__main__")
"""
WORKER = """
import os, sys, types
import bridge_server.worker.__main__ as worker
class Line:
    def __init__(self, *_): pass
    def start(self): pass
    def say(self, message): print(message, flush=True)
class Runner:
    def __init__(self, *_): input("run the custom code? ")
sys.modules["bridge_server.worker.runner"] = types.SimpleNamespace(Runner=Runner)
worker.SocketLine = Line
worker.main()
"""


@pytest.mark.parametrize("code", [COMMAND, WORKER])
def test_commands_and_worker_give_their_input_to_no_library(tmp_path: Path, code: str) -> None:
    words = ("address", "password", "ticket", "scratch", "spool", "warm")
    orders = {"parent": os.getpid(), **dict.fromkeys(words, "")}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(orders) + "\ny\n")
        process.stdin.flush()  # and it stays open
        assert "EOFError" in process.stdout.read()
