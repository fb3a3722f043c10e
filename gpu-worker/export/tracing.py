"""Traces a torch module to an ONNX graph without its weights."""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch

# LayerNormalization is one operator since this one.
OPSET = 17


def trace(module, spec, inputs):
    """
    @param module its parameters' names are what the graph calls its weights; their values don't count.
    @param inputs tensors of any size that the graph takes, by name: small ones, for a CPU is slow with float16.
    @returns the graph, with its weights as inputs after those of `spec`.
    """
    arguments = tuple(inputs[name] for name in spec.inputs)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        path = Path(folder, "traced.onnx")
        torch.onnx.export(
            module,
            arguments,
            str(path),
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_axes={**spec.inputs, **spec.outputs},
            opset_version=OPSET,
            export_params=False,
            # Else weights that happen to be equal become one.
            keep_initializers_as_inputs=True,
            do_constant_folding=False,
            dynamo=False,
        )
        return onnx.load(path)
