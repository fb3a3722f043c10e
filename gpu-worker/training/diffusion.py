"""Trains text encoders, UNet and ControlNet together."""

import time
from dataclasses import dataclass

import torch

import ranks
import schedule
from denoising import Denoiser
from muon import Muon, is_matrix
from pools import encode

# Of the text encoders' embeddings, times the others' learning rate, at which they learn too little.
TEXT_RATE = 2.5
WARM_UP_STEPS = 40
WEIGHT_DECAY = 1e-3
# Of whole channels of latents, so that a picture may be dark or bright all over; 0.1 seemed to drown the prompt's colours.
OFFSET_NOISE = 0.03
# Shares of samples without their caption, as the negative prompt "" and the one that is absent have it.
EMPTY_TEXT = 0.05
ZERO_TEXT = 0.08
# Share of samples whose noise is such that colours and places are decided.
EARLY = 0.3
# Of the ControlNet, least and most: the API's default is 0.5.
SCALES = 0.4, 1.1


@dataclass(frozen=True)
class Plan:
    """`steps` or `minutes`, whichever is reached first; the learning rate falls as a cosine to `floor` of itself."""

    seed: int
    rate: float = 6e-4
    floor: float = 0.02
    ema: float = 0.998
    steps: int | None = None
    minutes: float | None = None

    def progress(self, step, seconds):
        """0..1; 1 is the end."""
        return schedule.progress(step, seconds, self.steps, self.minutes)


@dataclass(frozen=True)
class Diet:
    """What a step eats: `batch` samples of `pool`, `weight` steps of all."""

    pool: object
    batch: int
    weight: int


class Trainer:
    """
    State of a run: networks, their average over steps, optimizer, steps and seconds so far. A step's random numbers
    depend on the seed, the step and the number of processes only, so a run that was stopped and resumed is the run that was not.
    """

    def __init__(self, fused, text_encoders, scheduler_config, scaling_factor, tokenizers, diets, plan):
        self.denoiser = Denoiser(fused.train(), [encoder.train() for encoder in text_encoders], scheduler_config)
        self.modules = torch.nn.ModuleList([fused, *text_encoders])
        self.parameters = [value.requires_grad_() for value in self.modules.parameters()]
        self.diets, self.plan, self.scaling_factor = diets, plan, scaling_factor
        self.empty = [encode(tokenizer, [""])[0] for tokenizer in tokenizers]
        self.optimizers = self.make_optimizers()
        self.average = [value.detach().clone() for value in self.parameters]
        self.step, self.seconds = 0, 0.0

    def make_optimizers(self):
        """Muon for matrices, AdamW for the rest."""
        matrices = [value for name, value in self.modules.named_parameters() if is_matrix(name, value)]
        known = {id(value) for value in matrices}
        rest, text = (
            [value for value in parameters if id(value) not in known]
            for parameters in (self.modules[:1].parameters(), self.modules[1:].parameters())
        )
        groups = [{"params": rest, "share": 1.0}, {"params": text, "share": TEXT_RATE}]
        return [
            Muon([{"params": matrices, "share": 1.0}], lr=self.plan.rate, weight_decay=WEIGHT_DECAY),
            torch.optim.AdamW(groups, lr=self.plan.rate, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY, fused=True),
        ]

    def run(self, on_step):
        """Steps until the plan is done; `on_step(trainer, loss, high)` after each: the loss, and that of noisy latents."""
        last = time.monotonic()
        while (progress := self.plan.progress(self.step, self.seconds)) < 1:
            loss, high = self.one_step(progress)
            now = time.monotonic()
            # All processes must agree on when to end.
            self.seconds, last = self.seconds + ranks.mean(now - last), now
            on_step(self, loss, high)

    def one_step(self, progress):
        plan = self.plan
        random = ranks.generator(plan.seed, self.step)
        rate = schedule.rate(plan.rate, self.step, progress, WARM_UP_STEPS, plan.floor)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
        loss, high = self.loss(random)
        self.modules.zero_grad()
        loss.backward()
        ranks.average([value.grad for value in self.parameters if value.grad is not None])
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        keep = min(plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - keep)
        return loss.item(), high

    def pick(self):
        """The step's pool and, of its samples, this process's: every sample comes once before any comes again."""
        order = [diet for diet in self.diets for _ in range(diet.weight)]
        turn, place = divmod(self.step, len(order))
        diet = order[place]
        # How often this pool was asked before.
        before = turn * diet.weight + sum(other is diet for other in order[:place])
        batches = len(diet.pool) // diet.batch
        epoch, batch = divmod(before, batches)
        shuffle = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + diet.pool.side * 1009 + epoch)
        index = torch.randperm(len(diet.pool), generator=shuffle)[batch * diet.batch : (batch + 1) * diet.batch]
        return diet.pool, index[ranks.index() :: ranks.count()]

    def states(self, ids, ids_2, zeroed):
        """What the denoiser is told of the text: hidden states [n, 77, c], pooled [n, c]; zeros where `zeroed`."""
        (hidden, pooled), keep = self.denoiser.text(ids, ids_2), (~zeroed).float()
        return hidden * keep[:, None, None], pooled * keep[:, None]

    def loss(self, random):
        pool, index = self.pick()
        count = len(index)
        mean, std = pool.mean[index].float(), pool.std[index].float()
        latents = (mean + std * torch.randn(mean.shape, generator=random)) * self.scaling_factor

        ids, ids_2, chance = pool.ids[index].long(), pool.ids_2[index].long(), torch.rand(count, generator=random)
        untold = chance < EMPTY_TEXT
        ids[untold], ids_2[untold] = self.empty
        hidden, pooled = self.states(ids, ids_2, (chance >= EMPTY_TEXT) & (chance < EMPTY_TEXT + ZERO_TEXT))

        anywhere = torch.randint(0, 1000, (count,), generator=random)
        early = torch.randint(750, 1000, (count,), generator=random)
        times = torch.where(torch.rand(count, generator=random) < EARLY, early, anywhere)
        alpha = self.denoiser.alphas[times][:, None, None, None]
        noise = torch.randn(latents.shape, generator=random)
        noise = noise + OFFSET_NOISE * torch.randn(count, latents.shape[1], 1, 1, generator=random)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        low, high = SCALES
        predicted = self.denoiser.noise(
            noisy,
            times,
            hidden,
            pooled,
            pool.conditions(index),
            torch.rand(count, generator=random) * (high - low) + low,
        )
        error = ((predicted - noise) ** 2).mean((1, 2, 3))
        # Min-SNR (5), and more for steps of high noise: there, the prompt's colours come in.
        ratio = self.denoiser.alphas[times] / (1 - self.denoiser.alphas[times])
        weight = (5 / ratio).clamp(max=1) * (1 + 1 / ratio).clamp(max=25) / 4
        noisiest = times > 850
        return (error * weight).mean(), error[noisiest].mean().item() if noisiest.any() else float("nan")

    def averaged(self):
        """Context in which the networks are their averages."""
        return Averaged(self)

    def state_dict(self):
        return {
            "step": self.step,
            "seconds": self.seconds,
            "modules": self.modules.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state):
        self.step, self.seconds = state["step"], state["seconds"]
        self.modules.load_state_dict(state["modules"])
        self.average = state["average"]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)


class Averaged:
    """See Trainer.averaged."""

    def __init__(self, trainer):
        self.trainer = trainer

    @torch.no_grad()
    def __enter__(self):
        self.kept = [value.detach().clone() for value in self.trainer.parameters]
        for value, average in zip(self.trainer.parameters, self.trainer.average, strict=True):
            value.copy_(average)

    @torch.no_grad()
    def __exit__(self, *_):
        for value, kept in zip(self.trainer.parameters, self.kept, strict=True):
            value.copy_(kept)
