"""The graphs of a model as torch modules: their inputs and outputs are what gpu-worker/pipelines/graphs.ts asks for."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sources import ExportError, read_json, weight_files

UNET_INPUTS = {
    "sample": {0: "batch", 2: "latent_height", 3: "latent_width"},
    "timestep": {0: "batch"},
    "encoder_hidden_states": {0: "batch", 1: "tokens"},
    "text_embeds": {0: "batch"},
    "time_ids": {0: "batch"},
    "controlnet_cond": {0: "batch", 2: "height", 3: "width"},
    "conditioning_scale": {0: "batch"},
}


class TextEncoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        output = self.model(input_ids=input_ids, output_hidden_states=True)
        states = output.hidden_states[-2]
        return (states, output.text_embeds) if "text_embeds" in output else states


class UNetWithControlNet(nn.Module):
    """Both in one, so that the residuals stay on the device; timestep and scale are a sample's own."""

    def __init__(self, unet, controlnet):
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids, controlnet_cond, conditioning_scale):
        common = {
            "encoder_hidden_states": encoder_hidden_states,
            "added_cond_kwargs": {"text_embeds": text_embeds, "time_ids": time_ids},
            "return_dict": False,
        }
        # The scale stays outside: ControlNetModel.forward takes a number, which would become a constant of the graph.
        down, mid = self.controlnet(sample, timestep, controlnet_cond=controlnet_cond, conditioning_scale=1.0, **common)
        scale = conditioning_scale.to(sample.dtype).reshape(-1, 1, 1, 1)
        residuals = [residual * scale for residual in down]
        return self.unet(
            sample,
            timestep,
            down_block_additional_residuals=residuals,
            mid_block_additional_residual=mid * scale,
            **common,
        )[0]


class VaeDecoder(nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample):
        return self.vae.decode(latent_sample, return_dict=False)[0]


class VaeEncoder(nn.Module):
    """Mean and logarithm of the variance, side by side in dimension 1."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, sample):
        return self.vae.encode(sample).latent_dist.parameters


@dataclass(frozen=True)
class GraphSpec:
    """How a graph is made of parts of a model, and its ports with the dimensions that vary."""

    module: type
    parts: tuple[str, ...]
    inputs: dict[str, dict[int, str]]
    outputs: dict[str, dict[int, str]]


IDS = {"input_ids": {0: "batch"}}
STATES = {"hidden_states": {0: "batch", 1: "tokens"}}
LATENTS = {0: "batch", 2: "latent_height", 3: "latent_width"}
PICTURE = {0: "batch", 2: "height", 3: "width"}
GRAPHS = {
    "text_encoder": GraphSpec(TextEncoder, ("text_encoder",), IDS, STATES),
    "text_encoder_2": GraphSpec(TextEncoder, ("text_encoder_2",), IDS, {**STATES, "text_embeds": {0: "batch"}}),
    "unet_controlnet": GraphSpec(UNetWithControlNet, ("unet", "controlnet"), UNET_INPUTS, {"noise_pred": LATENTS}),
    "vae_decoder": GraphSpec(VaeDecoder, ("vae",), {"latent_sample": LATENTS}, {"sample": PICTURE}),
    "vae_encoder": GraphSpec(VaeEncoder, ("vae",), {"sample": PICTURE}, {"latent_parameters": LATENTS}),
}
CLASSES = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "unet": UNet2DConditionModel,
    "controlnet": ControlNetModel,
    "vae": AutoencoderKL,
}


def load_part(name, folder):
    """A part with its weights rounded to float16, where they are mapped from the file as far as they are float16 there."""
    _, variant = weight_files(folder)
    model = CLASSES[name].from_pretrained(folder, variant=variant, torch_dtype=torch.float16, use_safetensors=True)
    model = model.to(torch.float16).eval().requires_grad_(False)
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ExportError(f"{folder}: {key} has numbers that float16 does not have")
    return model


def empty_part(name, folder, dtype):
    """A part for tracing: its weights are memory that nobody wrote to, which takes no room until somebody does."""
    kind = CLASSES[name]
    with torch.device("meta"):
        if name.startswith("text"):
            # The exporter makes scaled_dot_product_attention's causal mask of float32, in a graph of float16 too.
            model = kind(kind.config_class.from_pretrained(folder, attn_implementation="eager"))
        else:
            model = kind.from_config(kind.load_config(folder))
    model = model.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for buffer in model.buffers():
        buffer.zero_()
    return model


def check_configs(folders):
    """
    Refuses what gpu-worker's pipeline would not draw right.
    @raises ExportError naming file, field and value.
    """
    configs = {name: read_json(folder / "config.json") for name, folder in folders.items()}
    unet, controlnet, vae = (configs[name] for name in ("unet", "controlnet", "vae"))

    def want(part, field, found, wanted):
        if found != wanted:
            raise ExportError(f"{folders[part] / 'config.json'}: {field} is {found!r}, and must be {wanted!r}")

    for name in ("unet", "controlnet", "vae"):
        want(name, "_class_name", configs[name].get("_class_name"), CLASSES[name].__name__)
    want("unet", "addition_embed_type", unet.get("addition_embed_type"), "text_time")
    want("unet", "time_cond_proj_dim", unet.get("time_cond_proj_dim"), None)
    want("unet", "class_embed_type", unet.get("class_embed_type"), None)
    want("unet", "in_channels", unet.get("in_channels"), vae.get("latent_channels"))
    want("controlnet", "global_pool_conditions", controlnet.get("global_pool_conditions", False), False)
    want("controlnet", "conditioning_channels", controlnet.get("conditioning_channels", 3), 3)
    want("controlnet", "controlnet_conditioning_channel_order", controlnet.get("controlnet_conditioning_channel_order", "rgb"), "rgb")
    for field in ("block_out_channels", "cross_attention_dim", "projection_class_embeddings_input_dim", "addition_time_embed_dim"):
        want("controlnet", field, controlnet.get(field), unet.get(field))
    width = configs["text_encoder"].get("hidden_size", 512) + configs["text_encoder_2"].get("hidden_size", 512)
    want("unet", "cross_attention_dim", unet.get("cross_attention_dim"), width)
    return configs
