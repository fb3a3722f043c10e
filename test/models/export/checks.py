"""Checks of the export's parts, a line of JSON each.

    python checks.py WORK

WORK: a folder to write to.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "gpu-worker" / "export"))

import diffusers
import numpy as np
import onnx
import torch
from cases import graph_cases
from modules import CLASSES, GRAPHS, GraphSpec, check_configs, empty_part
from safetensors.torch import save_file
from sources import ExportError
from torch import nn
from tracing import trace
from verify import compare, float32_layers, reference
from weights import DATA_FILE, store

diffusers.logging.set_verbosity_error()
WORK = Path(sys.argv[1])
# Published: counts of the parts' parameters, both text encoders together in the last.
PARAMETERS = {"unet": 2_567_463_684, "controlnet": 1_251_014_160, "vae": 83_653_863, "text": 817_720_320}


def check(name, ok):
    print(json.dumps({"check": name, "ok": bool(ok)}), flush=True)


def refused(run, message):
    try:
        run()
    except ExportError as error:
        return message in str(error)
    return False


class Linear(nn.Module):
    def __init__(self, *sides):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sides, sides[1:]))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


SPEC = GraphSpec(Linear, (), {"x": {0: "batch", 1: "rows"}}, {"y": {0: "batch", 1: "rows"}})


def empty(*sides):
    with torch.device("meta"):
        module = Linear(*sides).half()
    return module.to_empty(device="cpu").requires_grad_(False)


def write(module, name):
    """The module as a graph of float16 below WORK, and inputs for it."""
    sides = [module.layers[0].in_features, *(layer.out_features for layer in module.layers)]
    cases = [{"x": torch.randn(batch, 2, sides[0]).half()} for batch in (1, 3)]
    path = WORK / name / "model.onnx"
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)
    # As export.py has it: what is traced holds no weights.
    store(trace(empty(*sides), SPEC, cases[0]), module.state_dict(), path, float32=False)
    return path, cases


def differences():
    module = Linear(8, 16, 4).half().requires_grad_(False)
    path, cases = write(module, "linear")
    expected = reference(module, cases, torch.float16)
    [small, _] = compare(path, cases, expected, 1e-2)
    check("a graph is what torch makes of it", small.largest < 2e-3)
    expected[1][0][0, 0, 0] += 0.1 * np.abs(expected[1][0]).max()
    check("one number that is apart is refused", refused(lambda: compare(path, cases, expected, 1e-2), "y 3x2x4"))
    broken = onnx.load(path)
    broken.graph.initializer[0].raw_data = b"\xff\x7f" * (len(broken.graph.initializer[0].raw_data) // 2)
    onnx.save(broken, path)
    check("what is not a number is refused", refused(lambda: compare(path, cases, expected, 1e9), "nan"))


def overflow():
    module = Linear(8, 4)
    module.layers[0].weight.data.fill_(60000.0)
    cases = [{"x": torch.full((1, 1, 8), 2.0, dtype=torch.float16)}]
    over = refused(lambda: reference(module, cases, torch.float16), "layers.0 overflows float16")
    check("an overflow of float16 is refused by the layer's name", over)


def one_layer_at_a_time():
    module, sizes = Linear(8, 8, 8).half(), []
    module.layers[1].register_forward_pre_hook(lambda *_: sizes.append([p.dtype for p in module.parameters()]))
    with float32_layers(module):
        module(torch.ones(1, 8))
    after = {p.dtype for p in module.parameters()}
    check("one layer at a time is float32", sizes[0].count(torch.float32) <= 2 and after == {torch.float16})


def external():
    """1.07 thousand million weights are 2.15 GB in float16, over what a file of protobuf may have."""
    module = empty(16384, 32768, 16384)
    for layer in module.layers:
        rows, columns = (torch.randn(side, 1).half() / 100 for side in layer.weight.shape)
        layer.weight.copy_(rows * columns.T)
        layer.bias.copy_(torch.randn(layer.bias.shape))
    path, cases = write(module, "external")
    with float32_layers(module), torch.no_grad():
        expected = [[module(case["x"].float()).numpy()] for case in cases]
    compare(path, cases, expected, 1e-2)
    graph = onnx.load(path, load_external_data=False).graph
    outside = sum(len(tensor.external_data) > 0 for tensor in graph.initializer)
    size = path.with_name(DATA_FILE).stat().st_size
    check("over 2 GB of weights lie beside the graph", size > 2**31 and outside == 4 and path.stat().st_size < 10**6)
    shutil.rmtree(path.parent)


def hub():
    """A commit in the hub's cache, as its client lays it out; nothing is fetched."""
    cache, commit = WORK / "hub", "0123456789abcdef0123456789abcdef01234567"
    snapshot = cache / "models--someone--vae" / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    refs = cache / "models--someone--vae" / "refs"
    refs.mkdir(exist_ok=True)
    (refs / "main").write_text(commit)
    (snapshot / "README.md").write_text("---\nlicense: openrail++\n---\n")
    (snapshot / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, snapshot / "diffusion_pytorch_model.safetensors")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from sources import open_source; s = open_source('someone/vae', ['', 'vae']); print(s.revision, s.license)"
    folder = str(Path(__file__).parents[3] / "gpu-worker" / "export")
    found = subprocess.run([sys.executable, "-c", code, folder], env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    check("a model of the hub has its commit and licence", found.stdout == f"{commit} openrail++\n")


def real_configs():
    """SDXL's own configs, without weights: as many parameters as published, shapes at the native size."""
    folder = WORK / "sdxl"
    configs = json.loads(Path(__file__).with_name("sdxl-configs.json").read_text())["configs"]
    for name, config in configs.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config))
    folders = {name: folder / name for name in CLASSES}
    configs = check_configs(folders)
    parts = {name: empty_part(name, folders[name], torch.float16) for name in CLASSES}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    text = counts.pop("text_encoder") + counts.pop("text_encoder_2")
    check("SDXL's configs give the published numbers of parameters", {**counts, "text": text} == PARAMETERS)
    fits = True
    for name in GRAPHS:
        spec = GRAPHS[name]
        if name.startswith("text"):
            cases = [{"input_ids": torch.zeros(2, 77, dtype=torch.long)}]
        else:
            cases = graph_cases(name, configs, (torch.zeros(3, 77, 2048), torch.zeros(3, 1280)), torch.float16)
        module = spec.module(*(parts[part] for part in spec.parts)).eval()
        graph = trace(module, spec, cases[0]).graph
        shapes = {key: list(value.shape) for key, value in module.state_dict().items()}
        found = {port.name: [dim.dim_value for dim in port.type.tensor_type.shape.dim] for port in graph.input if port.name not in spec.inputs}
        fits &= all(shapes[key] == shape for key, shape in found.items())
        for port in [*graph.input[: len(spec.inputs)], *graph.output]:
            named = {**spec.inputs, **spec.outputs}[port.name]
            fits &= {i: dim.dim_param for i, dim in enumerate(port.type.tensor_type.shape.dim) if dim.dim_param} == named
    check("SDXL's graphs have its weights' shapes and the ports that vary", fits)


torch.manual_seed(0)
differences()
overflow()
one_layer_at_a_time()
external()
hub()
real_configs()
