"""Trains the VAE's decoder on latents as the denoiser leaves them, so that its small errors don't show as mottled colour."""

import time
from dataclasses import dataclass

import torch

import ranks
import schedule
import vae
from denoising import Denoiser

RATE = 5e-4
FLOOR = 0.02
WARM_UP_STEPS = 30
REPORT_STEPS = 50
# side -> batch, steps of each round.
BATCHES = {128: (4, 3), 64: (8, 1)}
# Noise levels from which the denoiser guesses the latents: above, it does not know yet what the picture shows.
TIMES = 20, 600
# Share of latents that are the encoder's own.
OWN = 0.25
# Of the guess, least and most.
GUIDANCE = 1.0, 5.0
# Of the ControlNet: the API's default.
SCALE = 0.5


@dataclass(frozen=True)
class Scenes:
    """The first samples of a pool with their pictures, uint8 [n, 3, side, side]."""

    pool: object
    pictures: torch.Tensor


class Guesses:
    """Latents that the denoiser takes noisy ones for."""

    def __init__(self, fused, text_encoders, scheduler_config, scaling_factor):
        self.denoiser = Denoiser(fused.eval(), [encoder.eval() for encoder in text_encoders], scheduler_config)
        self.scaling_factor = scaling_factor

    @torch.inference_mode()
    def draw(self, pool, index, random):
        """Latents [n, 4, h, w] as the decoder gets them: guessed with guidance from noisy ones, or for some the encoder's own."""
        count = len(index)
        latents = pool.mean[index].float() * self.scaling_factor
        hidden, pooled = self.denoiser.text(pool.ids[index].long(), pool.ids_2[index].long())
        times = torch.randint(*TIMES, (count,), generator=random)
        alpha = self.denoiser.alphas[times][:, None, None, None]
        noise = torch.randn(latents.shape, generator=random)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        untold, told = self.denoiser.noise(
            noisy.repeat(2, 1, 1, 1),
            times.repeat(2),
            torch.cat([torch.zeros_like(hidden), hidden]),
            torch.cat([torch.zeros_like(pooled), pooled]),
            pool.conditions(index).repeat(2, 1, 1, 1),
            torch.full((2 * count,), SCALE),
        ).chunk(2)
        low, high = GUIDANCE
        guidance = torch.rand(count, 1, 1, 1, generator=random) * (high - low) + low
        guessed = (noisy - (1 - alpha).sqrt() * (untold + guidance * (told - untold))) / alpha.sqrt()
        own = torch.rand(count, 1, 1, 1, generator=random) < OWN
        return torch.where(own, latents, guessed) / self.scaling_factor


def train(autoencoder, guesses, scenes, seed, report, steps=None, minutes=None):
    """
    Trains the decoder in place; the encoder stays, and with it what latents mean.
    @param scenes list of Scenes, of the sides in BATCHES. @param steps of all, or `minutes`.
    """
    autoencoder.requires_grad_(False)
    parameters = [*autoencoder.decoder.parameters(), *autoencoder.post_quant_conv.parameters()]
    for parameter in parameters:
        parameter.requires_grad_()
    autoencoder.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=True, **vae.OPTIMIZER)
    order = [one for one in scenes for _ in range(BATCHES[one.pool.side][1])]
    step, seconds, last, errors = 0, 0.0, time.monotonic(), {one.pool.side: [] for one in scenes}
    while (progress := schedule.progress(step, seconds, steps, minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(RATE, step, progress, WARM_UP_STEPS, FLOOR)
        random = ranks.generator(seed, step)
        scene = order[step % len(order)]
        index = torch.randint(0, len(scene.pictures), (max(1, BATCHES[scene.pool.side][0] // ranks.count()),), generator=random)
        picture = (scene.pictures[index].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        drawn = autoencoder.decode(guesses.draw(scene.pool, index, random).clone()).sample
        loss, error = vae.difference(drawn, picture)
        optimizer.zero_grad()
        loss.backward()
        ranks.average([parameter.grad for parameter in parameters])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        errors[scene.pool.side].append(error.item())
        now = time.monotonic()
        # All processes must agree on when to end.
        seconds, last = seconds + ranks.mean(now - last), now
        if step % REPORT_STEPS == 0 or step == 2:
            recent = {f"psnr_{side}": round(vae.psnr(values[-100:]), 2) for side, values in errors.items() if values}
            report("decoder", step=step, seconds_a_step=round(seconds / step, 3), **recent)
    autoencoder.to(memory_format=torch.contiguous_format).eval().requires_grad_(True)
