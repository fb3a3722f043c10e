"""Makes the reference values beside this file from diffusers: a small VAE with random weights, decoded whole and in tiles.

    python make.py

Needs the packages of gpu-worker/export/requirements.txt.

  vae_decoder/model.onnx   latent_sample [1, 4, height, width] -> sample; float32
  latents.f32              [4, 20, 26]: neither square nor a multiple of the tiles' steps
  whole.f32, tiled.f32     [3, 80, 104]: AutoencoderKL's decoder without and with enable_tiling
  case.json                shape of the latents, the VAE's sample_size and factor
  zeros.onnx               shape [2] -> that many zeros: a graph to run out of memory with
"""

import json
import sys
from pathlib import Path

import onnx
import torch
from diffusers import AutoencoderKL
from onnx import TensorProto, helper

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "gpu-worker" / "export"))

from modules import GRAPHS, VaeDecoder
from tracing import trace
from weights import store

SAMPLE_SIZE, HEIGHT, WIDTH = 32, 20, 26


@torch.no_grad()
def vae():
    torch.manual_seed(0)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=SAMPLE_SIZE,
        mid_block_add_attention=False,
    ).eval()
    latents = torch.randn(1, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    whole = model.decode(latents).sample
    model.enable_tiling()
    tiled = model.decode(latents).sample
    model.disable_tiling()
    print(f"whole and tiled differ by {(whole - tiled).abs().max():.3f} at most, of {whole.abs().max():.3f}")
    for name, values in (("latents", latents), ("whole", whole), ("tiled", tiled)):
        (HERE / f"{name}.f32").write_bytes(values.numpy().astype("<f4").tobytes())
    case = {"channels": 4, "height": HEIGHT, "width": WIDTH, "sample_size": SAMPLE_SIZE, "factor": 4}
    (HERE / "case.json").write_text(json.dumps(case) + "\n")
    module = VaeDecoder(model).eval()
    (HERE / "vae_decoder").mkdir(exist_ok=True)
    store(trace(module, GRAPHS["vae_decoder"], {"latent_sample": latents}), module.state_dict(), HERE / "vae_decoder" / "model.onnx", False)


def zeros():
    inputs = [helper.make_tensor_value_info("shape", TensorProto.INT64, [2])]
    outputs = [helper.make_tensor_value_info("zeros", TensorProto.FLOAT, ["height", "width"])]
    graph = helper.make_graph([helper.make_node("ConstantOfShape", ["shape"], ["zeros"])], "zeros", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), HERE / "zeros.onnx")


vae()
zeros()
