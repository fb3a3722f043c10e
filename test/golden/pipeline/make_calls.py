"""Makes calls/ beside this file: one small picture for each sampler and parameter, drawn by diffusers on the bundled weights.

    python make_calls.py [MODEL]

MODEL as for make.py. calls.json has each call's parameters by diffusers' names; `seed` goes into
torch.Generator().manual_seed, whose noise the service draws, too. The pictures of a call stand side by side in NAME.png.
`warnings` is what diffusers logged. The control picture is the outline of a box.
"""

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import diffusers
import numpy as np
import torch
from PIL import Image
from pipeline_diffusers import box_outline, load_pipeline

HERE = Path(__file__).parent
MODEL = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[2] / "gpu-worker" / "model"

PLAIN = {
    "prompt": "a red house on a blue background",
    "height": 64,
    "width": 64,
    "num_inference_steps": 8,
    "guidance_scale": 5.0,
    "controlnet_conditioning_scale": 0.5,
    "seed": 7,
}
LONG = "a green box on a pink background, " * 12 + "don't say (\"this\":1.5)"
CALLS = {
    "euler": {},
    "euler-long-seed": {"seed": 2**40 + 3},
    "euler-ancestral": {"scheduler": "EulerAncestralDiscreteScheduler", "num_inference_steps": 20},
    "euler-ancestral-plain": {"scheduler": "EulerAncestralDiscreteScheduler", "guidance_scale": 1.0},
    "dpm": {"scheduler": "DPMSolverMultistepScheduler"},
    "dpm-15": {"scheduler": "DPMSolverMultistepScheduler", "num_inference_steps": 15, "seed": 8},
    "dpm-karras": {"scheduler": "DPMSolverMultistepScheduler", "scheduler_options": {"use_karras_sigmas": True}},
    "lcm": {"scheduler": "LCMScheduler", "num_inference_steps": 4, "guidance_scale": 1.5},
    "three": {"num_images_per_prompt": 3},
    "three-ancestral": {"scheduler": "EulerAncestralDiscreteScheduler", "num_images_per_prompt": 3, "height": 48, "width": 80},
    "two-unguided-lcm": {"scheduler": "LCMScheduler", "num_images_per_prompt": 2, "guidance_scale": 1.0, "num_inference_steps": 4},
    "guided-late": {"control_guidance_start": 0.5, "controlnet_conditioning_scale": 1.0},
    "guided-early": {"control_guidance_end": 0.3, "controlnet_conditioning_scale": 1.0},
    "guided-between": {"control_guidance_start": 0.2, "control_guidance_end": 0.7, "num_inference_steps": 10},
    "negative": {"negative_prompt": "blue, " * 3, "guidance_scale": 7.5},
    "weights-are-text": {"prompt": "a (red:1.5) house on a [[blue]] background ((best quality))"},
    "truncated": {"prompt": LONG},
}


class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def main():
    pipeline = load_pipeline(MODEL)
    base = dict(pipeline.scheduler.config)
    heard = Heard()
    logging.getLogger("diffusers").addHandler(heard)
    (HERE / "calls").mkdir(exist_ok=True)
    calls, drawn, alike = [], {}, []
    for name, change in CALLS.items():
        call = {**PLAIN, **change}
        options = dict(call)
        scheduler = getattr(diffusers, options.pop("scheduler", "EulerDiscreteScheduler"))
        pipeline.scheduler = scheduler.from_config({**base}, **options.pop("scheduler_options", {}))
        edges = box_outline(call["height"], call["width"])
        heard.messages.clear()
        with torch.inference_mode():
            images = pipeline(
                image=Image.fromarray(np.dstack([edges] * 3)),
                generator=torch.Generator().manual_seed(options.pop("seed")),
                output_type="np",
                **options,
            ).images
        for other, picture in drawn.items():
            if picture.shape == images.shape and np.abs(picture - images).max() <= 0.05:
                alike.append(f"{name} draws what {other} does, within {np.abs(picture - images).max():.3f}")
        drawn[name] = images
        pixels = np.concatenate(list((images * 255).round().astype(np.uint8)), axis=1)
        Image.fromarray(pixels).save(HERE / "calls" / f"{name}.png", optimize=True)
        warnings = sorted({message for message in heard.messages if "truncated" in message})
        calls.append({"name": name, **call, "warnings": warnings})
        print(name, images.shape, warnings, flush=True)
    assert not alike, "\n".join(alike)
    (HERE / "calls.json").write_text("[\n" + ",\n".join(json.dumps(call) for call in calls) + "\n]\n")


if __name__ == "__main__":
    main()
