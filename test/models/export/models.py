"""diffusers folders to export, and what diffusers itself draws with them.

    python models.py random BUNDLED OUT          a model, a ControlNet and a VAE with random weights, in float16, a folder each
    python models.py draw OUT MODEL CONTROLNET VAE CASE   pictures with the folders' weights, in float32

BUNDLED: gpu-worker/model, for its tokenizers and configs. CASE: JSON with prompt, negative_prompt, height, width and
diffusers' other parameters, `seed` of the latents. `draw` writes OUT/latents.f32, OUT/edges.png and OUT/expected.png.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from pipeline_diffusers import box_outline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


def random(bundled, out):
    """SDXL's layers in small: two a block, two transformers in the last, four levels of the VAE with attention."""
    torch.manual_seed(0)
    # With eos_token_id 2, as SDXL's configs have it, the pooled state is that of the highest id.
    text = {"vocab_size": 2048, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "num_hidden_layers": 3}
    first = CLIPTextModel(CLIPTextConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2, hidden_act="quick_gelu", projection_dim=32, **text))
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=64, intermediate_size=128, num_attention_heads=4, hidden_act="gelu", projection_dim=64, **text))
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=96,
        attention_head_dim=(1, 2, 4),
        transformer_layers_per_block=[1, 1, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=64 + 6 * 16,
        norm_num_groups=8,
    )
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    # A new ControlNet's last layers are zeros, which would hide what it does.
    for layer in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block, controlnet.controlnet_cond_embedding.conv_out]:
        torch.nn.init.normal_(layer.weight, std=0.1)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=4,
        scaling_factor=0.13025,
        force_upcast=False,
    )
    tokenizers = [CLIPTokenizer.from_pretrained(bundled / name) for name in ("tokenizer", "tokenizer_2")]
    config = EulerDiscreteScheduler.load_config(bundled / "scheduler")
    pipeline = StableDiffusionXLPipeline(
        AutoencoderKL(block_out_channels=(8,), norm_num_groups=4), first, second, *tokenizers, unet, EulerDiscreteScheduler.from_config(config)
    )
    pipeline.to(dtype=torch.float16).save_pretrained(out / "model")
    controlnet.half().save_pretrained(out / "controlnet", variant="fp16")
    vae.half().save_pretrained(out / "vae")
    (out / "vae" / "README.md").write_text("---\ntags:\n- test\nlicense: mit\n---\n# A VAE\n")
    (out / "model" / "LICENSE.md").write_text("A licence\n")


def draw(out, model, controlnet, vae, case):
    case = json.loads(case)
    pipeline = StableDiffusionXLControlNetPipeline.from_pretrained(
        model,
        controlnet=ControlNetModel.from_pretrained(controlnet, variant="fp16" if any(Path(controlnet).glob("*.fp16.*")) else None),
        vae=AutoencoderKL.from_pretrained(vae),
        torch_dtype=torch.float32,
        add_watermarker=False,
    )
    pipeline.vae.register_to_config(force_upcast=False)
    size = case["height"], case["width"]
    latent_size = [side // pipeline.vae_scale_factor for side in size]
    latents = torch.randn(1, 4, *latent_size, generator=torch.Generator().manual_seed(case.pop("seed")))
    edges = box_outline(*size)
    picture = pipeline(image=Image.fromarray(np.dstack([edges] * 3)), latents=latents, output_type="np", **case).images[0]
    out.mkdir(parents=True)
    (out / "latents.f32").write_bytes(latents.numpy().astype("<f4").tobytes())
    Image.fromarray(edges).save(out / "edges.png")
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(out / "expected.png")


diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
command, *arguments = sys.argv[1:]
if command == "draw":
    draw(Path(arguments[0]), *arguments[1:])
else:
    random(*map(Path, arguments))
