"""Compares a graph, as onnxruntime runs it, with the torch module it was made of."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch

from modules import UNetWithControlNet
from sources import ExportError

# Largest difference, as a part of the output's largest value. Float16 keeps 11 bits, of which a deep graph loses some.
TOLERANCES = {torch.float16: 1e-2, torch.float32: 1e-4}
FLOAT16_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Difference:
    """Of one output at one size: the largest and the root mean square, as parts of the output's largest value and RMS."""

    output: str
    shape: tuple[int, ...]
    largest: float
    rms: float

    def __str__(self):
        shape = "x".join(map(str, self.shape))
        return f"{self.output} {shape}: largest difference {self.largest:.1e}, RMS {self.rms:.1e}"


@contextmanager
def float32_layers(module):
    """The module works in float32 on its float16 weights, of which one layer's at a time are held in float32."""
    handles, halves = [], {}

    def widen(layer, _):
        for parameter in layer.parameters(recurse=False):
            halves[parameter] = parameter.data
            parameter.data = parameter.data.float()

    def restore(layer, *_):
        for parameter in layer.parameters(recurse=False):
            parameter.data = halves.pop(parameter)

    for layer in module.modules():
        if any(True for _ in layer.parameters(recurse=False)):
            handles += [layer.register_forward_pre_hook(widen), layer.register_forward_hook(restore)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def reference(module, cases, dtype):
    """
    What `module` makes of each of `cases` (input name -> tensor) in float32; a list of arrays for each. It may leave
    `module` in float32.
    @raises ExportError when `dtype` is float16 and a layer's values go beyond it, which a run on the CPU does not show.
    """
    results = []

    def check_range(name):
        def hook(_, inputs, output):
            for value in (*inputs, output):
                if isinstance(value, torch.Tensor) and value.is_floating_point() and not value.abs().max() <= FLOAT16_MAX:
                    raise ExportError(f"{name} overflows float16")

        return hook

    if dtype == torch.float16:
        for name, layer in module.named_modules():
            layer.register_forward_hook(check_range(name))
    # The VAE looks at the type of its weights, so it can't be widened by layers; it is small.
    large = isinstance(module, UNetWithControlNet)
    with torch.no_grad(), float32_layers(module) if large else nullcontext(module.float()):
        for inputs in cases:
            outputs = module(**{name: value.float() if value.is_floating_point() else value for name, value in inputs.items()})
            results.append([output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))])
    return results


def compare(path, cases, expected, tolerance):
    """
    Runs the graph at `path` on the CPU.
    @returns a Difference for each output of each case.
    @raises ExportError when one is over the tolerance, or a number is none.
    """
    options = onnxruntime.SessionOptions()
    # Neither copies of the weights in float32 nor packed ones: a graph of 8 GB is checked in little more.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    differences = []
    for inputs, wanted in zip(cases, expected):
        found = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        for name, a, b in zip(names, found, wanted):
            apart = a.astype(np.float64) - b
            largest = np.abs(apart).max() / np.abs(b).max()
            rms = np.sqrt(np.mean(apart**2) / np.mean(b.astype(np.float64) ** 2))
            differences.append(Difference(name, b.shape, float(largest), float(rms)))
    # Written so that what is not a number fails, too.
    wrong = [difference for difference in differences if not difference.largest <= tolerance]
    if wrong:
        raise ExportError(f"{path.parent.name} is not what torch makes of it: {wrong[0]}; the tolerance is {tolerance:.0e}")
    return differences
