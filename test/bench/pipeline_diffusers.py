"""diffusers' own pipeline on the bundled model's weights, for the benchmark and for the golden pictures.

    python pipeline_diffusers.py MODEL

MODEL: the model folder, whose graphs hold the weights.
Reads requests, one line of JSON each: {"prompt", "size", "steps", "guidance", "scale"}; answers each with
{"seconds", "threads"}. The control picture is the outline of a box.
"""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

sys.path.insert(0, str(Path(__file__).parents[2] / "gpu-worker" / "export"))

import numpy as np
import torch
import unpack
from PIL import Image


def load_pipeline(model):
    pipeline = unpack.load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def box_outline(height, width):
    edges = np.zeros((height, width), np.uint8)
    top, left = height // 4, width // 4
    edges[[top, height - top - 1], left : width - left] = 255
    edges[top : height - top, [left, width - left - 1]] = 255
    return edges


def main():
    pipeline = load_pipeline(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        size = request["size"]
        image = Image.fromarray(np.dstack([box_outline(size, size)] * 3))
        start = time.perf_counter()
        with torch.inference_mode():
            pipeline(
                prompt=request["prompt"],
                image=image,
                height=size,
                width=size,
                num_inference_steps=request["steps"],
                guidance_scale=request["guidance"],
                controlnet_conditioning_scale=request["scale"],
                generator=torch.Generator().manual_seed(1),
                output_type="np",
            )
        print(json.dumps({"seconds": time.perf_counter() - start, "threads": torch.get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
