"""Trains the VAE, from a start at which it already hands the picture through."""

import math
import time

import torch
import torch.nn.functional as F

import ranks
import schedule
from architecture import autoencoder

RATE = 1e-3
FLOOR = 0.03
WARM_UP_STEPS = 30
REPORT_STEPS = 50
OPTIMIZER = {"betas": (0.9, 0.99), "weight_decay": 1e-4}
# side -> batch; in turns, whole pictures: the norms' statistics of a crop are others.
BATCHES = {64: 12, 128: 3}
KL_WEIGHT = 1e-4

# Channels that carry red, green, blue and their negatives through every layer; then two constants.
COLOURS = 6
CONSTANT = 6.0


@torch.no_grad()
def handing_through():
    """
    A VAE of which every layer passes the picture on. Weights drawn by chance learn that first, for hundreds of steps.
    The constants keep absolute colours through the last norm: with them in its one group, its variance hardly changes.
    """
    vae = autoencoder()
    same, smooth = torch.zeros(3, 3), torch.tensor([1.0, 2.0, 1.0])
    same[1, 1] = 1
    half = torch.zeros(3, 3)
    half[:2, :2] = 0.25
    for name, layer in vae.named_modules():
        if not isinstance(layer, torch.nn.Conv2d):
            continue
        if name.endswith("conv2"):
            layer.weight.zero_()
            layer.bias.zero_()
        elif name.endswith("conv_shortcut"):
            pass_on(layer, torch.ones(1, 1))
        elif "downsamplers" in name:
            pass_on(layer, half)
        elif "upsamplers" in name:
            pass_on(layer, torch.outer(smooth, smooth) / 16)
    for part in (vae.encoder, vae.decoder):
        pass_on(part.conv_in, same, of_picture=True)
        take_out(part.conv_out)
    vae.quant_conv.weight.zero_()
    vae.quant_conv.bias.zero_()
    for channel in range(4):
        vae.quant_conv.weight[channel, channel] = 1
    vae.quant_conv.bias[4:] = -6
    vae.post_quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
    vae.post_quant_conv.bias.zero_()
    return vae


def pass_on(layer, kernel, of_picture=False):
    layer.weight[: COLOURS + 2] = 0
    layer.bias[: COLOURS + 2] = 0
    for channel in range(COLOURS):
        sign = -1 if of_picture and channel >= 3 else 1
        layer.weight[channel, channel % 3 if of_picture else channel] = sign * kernel
    layer.bias[COLOURS] = CONSTANT
    layer.bias[COLOURS + 1] = -CONSTANT


def take_out(layer):
    """silu(x) - silu(-x) = x, and what the norm divided by."""
    scale = math.sqrt(2 * CONSTANT**2 / layer.weight.shape[1])
    layer.weight[:3] = 0
    layer.bias[:3] = 0
    for channel in range(3):
        layer.weight[channel, channel, 1, 1] = scale
        layer.weight[channel, channel + 3, 1, 1] = -scale


def slopes(picture):
    """Sobel's derivatives of each channel."""
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[None, None] / 4
    kernels = torch.cat([across, across.transpose(2, 3)]).repeat(3, 1, 1, 1)
    return F.conv2d(picture, kernels, groups=3)


def difference(drawn, picture):
    """The loss, which asks for the edges' slopes too, and of it the mean square error."""
    error = F.mse_loss(drawn, picture)
    return error + 0.5 * F.l1_loss(drawn, picture) + 0.3 * F.l1_loss(slopes(drawn), slopes(picture)), error


def train(pictures, seed, report, steps=None, minutes=None):
    """
    @param pictures side -> float32 [n, 3, side, side] in -1..1. @param steps of all, or `minutes`.
    @returns the VAE; its scaling factor makes latents of these pictures have a standard deviation of 1.
    """
    vae = handing_through().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=RATE, fused=True, **OPTIMIZER)
    started, step, errors = time.monotonic(), 0, {side: [] for side in pictures}
    while True:
        seconds = time.monotonic() - started
        progress = schedule.progress(step, seconds, steps, minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(RATE, step, progress, WARM_UP_STEPS, FLOOR)
        random = ranks.generator(seed, step)
        side = list(BATCHES)[step % len(BATCHES)]
        batch = pictures[side][torch.randint(0, len(pictures[side]), (BATCHES[side],), generator=random)]
        batch = batch.contiguous(memory_format=torch.channels_last)
        latents = vae.encode(batch).latent_dist
        drawn = vae.decode(latents.sample(random)).sample
        loss, error = difference(drawn, batch)
        loss = loss + KL_WEIGHT * latents.kl().mean() / latents.mean[0].numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        errors[side].append(error.item())
        if step % REPORT_STEPS == 0 or step == 2:
            recent = {f"psnr_{side}": round(psnr(values[-50:]), 2) for side, values in errors.items()}
            report("vae", step=step, seconds_a_step=round((time.monotonic() - started) / step, 3), **recent)
    with torch.inference_mode():
        sides = sorted(pictures)
        latents = torch.cat([vae.encode(pictures[side][:64]).latent_dist.mean.ravel() for side in sides])
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae.to(memory_format=torch.contiguous_format).eval()


def psnr(errors):
    """Of mean square errors, in dB, for pictures in -1..1."""
    return 10 * math.log10(4 / (sum(errors) / len(errors))) if errors else float("nan")
