"""diffusers' own pipeline on the bundled model's weights, for the benchmark and for the golden pictures.

    python pipeline_diffusers.py MODEL WEIGHTS

MODEL: the model folder (configs, tokenizers). WEIGHTS: its torch weights (unet-controlnet-text.pt, vae/).
Reads requests, one line of JSON each: {"prompt", "size", "steps", "guidance", "scale"}; answers each with
{"seconds", "threads"}. The control picture is the outline of a box.
"""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionXLControlNetPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


def load_pipeline(model, weights):
    model, weights = Path(model), Path(weights)
    parts = {
        "te1": CLIPTextModel(CLIPTextConfig.from_pretrained(model / "text_encoder")),
        "te2": CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(model / "text_encoder_2")),
        "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(model / "unet")),
        "cn": ControlNetModel.from_config(ControlNetModel.load_config(model / "controlnet")),
    }
    state = torch.load(weights / "unet-controlnet-text.pt", map_location="cpu")
    for key, part in parts.items():
        part.load_state_dict(state[key])
        part.eval()
    vae = AutoencoderKL.from_pretrained(weights / "vae").eval()
    config = AutoencoderKL.load_config(model / "vae")
    vae.register_to_config(scaling_factor=config["scaling_factor"], force_upcast=config["force_upcast"])
    pipeline = StableDiffusionXLControlNetPipeline(
        vae=vae,
        text_encoder=parts["te1"],
        text_encoder_2=parts["te2"],
        tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(model / "tokenizer_2"),
        unet=parts["unet"],
        controlnet=parts["cn"],
        scheduler=EulerDiscreteScheduler.from_config(EulerDiscreteScheduler.load_config(model / "scheduler")),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def box_outline(height, width):
    edges = np.zeros((height, width), np.uint8)
    top, left = height // 4, width // 4
    edges[[top, height - top - 1], left : width - left] = 255
    edges[top : height - top, [left, width - left - 1]] = 255
    return edges


def main():
    pipeline = load_pipeline(*sys.argv[1:3])
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
