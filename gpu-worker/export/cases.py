"""What the graphs are traced and compared on."""

import torch
from transformers import CLIPTokenizer

PROMPTS = ["a red house on a blue background, best quality", "", "portrait photo of an old sailor, 35mm, film grain, golden hour"]
NEVER_HALF = {"timestep", "time_ids", "conditioning_scale"}


def text_cases(folder):
    """Prompts in two batches, as the tokenizer in `folder` writes them."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer(PROMPTS, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
    return [{"input_ids": ids.input_ids[:2]}, {"input_ids": ids.input_ids}]


def graph_cases(name, configs, states, dtype):
    """
    Two cases of another batch, height and width each.
    @param states what the text encoders make of PROMPTS: hidden states of both side by side, and the pooled one.
    """
    generator = torch.Generator().manual_seed(0)
    levels, channels = len(configs["unet"]["block_out_channels"]), configs["unet"]["in_channels"]
    factor = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    step = 2 ** (levels - 1)
    cases = []
    for batch, height, width in ((2, 2 * step, 2 * step), (3, 3 * step, 4 * step)):
        latents = torch.randn(batch, channels, height, width, generator=generator)
        pixels = (batch, 3, height * factor, width * factor)
        if name == "vae_decoder":
            case = {"latent_sample": latents / configs["vae"]["scaling_factor"]}
        elif name == "vae_encoder":
            case = {"sample": torch.rand(pixels, generator=generator) * 2 - 1}
        else:
            edges = (torch.rand(batch, 1, *pixels[2:], generator=generator) < 0.1).float()
            size = [float(pixels[2]), float(pixels[3])]
            case = {
                "sample": latents,
                "timestep": torch.tensor([981.0, 501.5, 21.0])[:batch],
                "encoder_hidden_states": states[0][:batch],
                "text_embeds": states[1][:batch],
                "time_ids": torch.tensor([[*size, 0.0, 0.0, *size]]).repeat(batch, 1),
                "controlnet_cond": edges.repeat(1, 3, 1, 1),
                "conditioning_scale": torch.tensor([0.5, 1.25, 0.0])[:batch],
            }
        cases.append({key: value if key in NEVER_HALF else value.to(dtype) for key, value in case.items()})
    return cases
