"""Reads the torch weights back out of a model folder that export.py wrote: export.py the other way round."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from diffusers import EulerDiscreteScheduler
from onnx import numpy_helper
from transformers import CLIPTokenizer

from modules import CLASSES, GRAPHS
from weights import HALF, PERMUTED

# The name of a part in the module that a graph was traced from, where it is not the part's own.
INSIDE = {"text_encoder": "model", "text_encoder_2": "model"}


class UnpackError(Exception):
    """What keeps a folder from being unpacked; says which file."""


def weights_of(path):
    """The weights of a graph by their names in the traced module, in float32 and as torch lays them out."""
    graph = onnx.load(path).graph
    weights = {}
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        name, _, permutation = initializer.name.removesuffix(HALF).partition(PERMUTED)
        if permutation:
            array = array.transpose(np.argsort([int(axis) for axis in permutation.split("_")]))
        if array.dtype in (np.float16, np.float32):
            weights[name] = torch.from_numpy(array.astype(np.float32))
    return weights


def load_parts(folder):
    """
    The networks of a model folder, in float32: part -> module. Weights that no graph needs, as the last layer of the first
    text encoder, are zeros.
    @raises UnpackError when a graph lacks weights, as one does that another exporter wrote.
    """
    folder, parts, found = Path(folder), {}, {}
    for name, kind in CLASSES.items():
        config = folder / name
        if name.startswith("text"):
            parts[name] = kind(kind.config_class.from_pretrained(config))
        else:
            parts[name] = kind.from_config(kind.load_config(config))
        found[name] = {}
    for name, spec in GRAPHS.items():
        path = folder / name / "model.onnx"
        if not path.is_file():
            raise UnpackError(f"{path} is missing")
        for key, value in weights_of(path).items():
            for part in spec.parts:
                prefix = f"{INSIDE.get(part, part)}."
                if key.startswith(prefix):
                    found[part][key.removeprefix(prefix)] = value
    for name, part in parts.items():
        wanted = part.state_dict()
        lacking = {key for key in wanted if key not in found[name] and not unused(name, key, part)}
        if lacking:
            raise UnpackError(f"{folder}: the graphs lack {name}.{min(lacking)}, and {len(lacking) - 1} more; did export.py write them?")
        part.load_state_dict({key: found[name].get(key, torch.zeros_like(value)) for key, value in wanted.items()})
        part.eval()
    return parts


def unused(name, key, part):
    """Of the first text encoder, the graph gives the last layer's input."""
    last = f"encoder.layers.{part.config.num_hidden_layers - 1}." if name == "text_encoder" else None
    return last is not None and (last in key or "final_layer_norm" in key)


def load_pipeline(folder):
    """diffusers' own pipeline on the weights of a model folder, in float32."""
    # Loading the class takes seconds, and it complains of packages that no picture needs.
    from diffusers import StableDiffusionXLControlNetPipeline

    folder = Path(folder)
    index = json.loads((folder / "model_index.json").read_text())
    return StableDiffusionXLControlNetPipeline(
        **load_parts(folder),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        scheduler=EulerDiscreteScheduler.from_config(EulerDiscreteScheduler.load_config(folder / "scheduler")),
        force_zeros_for_empty_prompt=index["force_zeros_for_empty_prompt"],
        add_watermarker=False,
    )


def main():
    parser = argparse.ArgumentParser(prog="unpack.py", description=__doc__)
    parser.add_argument("model", type=Path, help="a folder that export.py wrote")
    parser.add_argument("out", type=Path, help="the folder to write, as save_pretrained does")
    args = parser.parse_args()
    try:
        load_pipeline(args.model).save_pretrained(args.out)
    except UnpackError as error:
        sys.exit(f"unpack.py: {error}")


if __name__ == "__main__":
    main()
