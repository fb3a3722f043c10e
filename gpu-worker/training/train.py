"""Trains Tandem's bundled model: makes the data, trains, writes a folder for export.py."""

import argparse
import json
import math
import os
import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

import diffusers
import numpy as np
import torch
import transformers

import architecture
import decoder
import emoji
import folders
import ranks
import vae
import vocabulary
from diffusion import Diet, Plan, Trainer
from folders import FolderError
from modules import UNetWithControlNet
from packages import PackageError
from pools import draw, make_pool, pictures_of
from unpack import UnpackError

PACKAGES = Path(__file__).parents[2] / ".venv" / "packages"
REPORT_STEPS = 50
# side -> samples of the pool, batch, steps of each round.
SIZES = {128: (8_192, 16, 5), 64: (2_048, 16, 1), 192: (512, 4, 1)}
VAE_SAMPLES = {64: 6_144, 128: 3_072}
# side -> samples whose pictures the decoder is trained with, the first ones of the pool.
SCENES = {128: 2_048, 64: 1_024}
# Of --minutes; the VAE's, when a run starts from scratch.
VAE_SHARE = 0.1
DECODER_SHARE = 0.15

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Report:
    """Prints figures, and keeps them in figures.jsonl."""

    def __init__(self, out):
        self.file = open(out / "figures.jsonl", "a", buffering=1)
        self.started = time.monotonic()

    def __call__(self, stage, **figures):
        line = {"stage": stage, "seconds": round(time.monotonic() - self.started, 1), **figures}
        if ranks.index():
            return
        self.file.write(json.dumps(line) + "\n")
        print(" ".join(f"{name} {value}" for name, value in line.items()), flush=True)


def begin(args, emojis, report):
    """An untrained model whose tokenizers and VAE are trained, from `out/begun` when they are there."""
    folder = args.out / "begun"
    if not folder.exists():
        torch.manual_seed(args.seed)
        size = vocabulary.write(args.out / "start", [one.name for one in emojis], args.seed)
        architecture.scheduler().save_pretrained(args.out / "start" / "scheduler")
        report("tokenizers", tokens=size)
        pictures = {
            side: torch.cat([pictures_of(samples) for samples in draw(emojis, side, math.ceil(count * args.data), args.seed + 1)])
            for side, count in VAE_SAMPLES.items()
        }
        share = {"steps": args.vae_steps, "minutes": args.minutes and args.minutes * VAE_SHARE}
        trained = vae.train(pictures, args.seed, report, **share)
        unet, controlnet = architecture.denoiser()
        folders.save(folders.Model(*architecture.text_encoders(size), unet, controlnet, trained, args.out / "start"), folder)
    return folders.load(folder)


def pools_of(args):
    """side -> the file of its pool in `out/pools`, and how many samples."""
    counts = {side: max(math.ceil(count * args.data), batch) for side, (count, batch, _) in SIZES.items()}
    return {side: (args.out / "pools" / f"{side}-{count}-{args.seed}.pt", count) for side, count in counts.items()}


def pictures_file(side, args):
    return args.out / "pools" / f"{side}-pictures-{args.seed}.pt"


def make_data(model, emojis, args, report):
    """The pools of SIZES and the pictures of SCENES, where they aren't there yet."""
    for side, (file, count) in pools_of(args).items():
        if not file.exists():
            keep(make_pool(emojis, side, count, args.seed, model.vae.eval(), model.tokenizers()), file)
        report("data", side=side, samples=count)
        if side in SCENES and not pictures_file(side, args).exists():
            # Drawn once more rather than kept in the pool: these are few, and as large as all the rest.
            samples = [sample for chunk in draw(emojis, side, min(SCENES[side], count), args.seed) for sample in chunk]
            pictures = torch.from_numpy(np.stack([sample.picture for sample in samples[:count]])).permute(0, 3, 1, 2)
            keep(pictures.contiguous(), pictures_file(side, args))


def keep(value, file):
    """Saves it; the file is there only when it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, file.with_suffix(".partial"))
    file.with_suffix(".partial").rename(file)


def train_denoiser(start, args):
    """Trains text encoders, UNet and ControlNet of the model at `start`; writes `out/denoiser` at every checkpoint."""
    report, model = Report(args.out), folders.load(start)
    diets = [Diet(torch.load(file, weights_only=False), *SIZES[side][1:]) for side, (file, _) in pools_of(args).items()]
    trainer = Trainer(
        UNetWithControlNet(model.unet, model.controlnet),
        [model.text_encoder, model.text_encoder_2],
        model.scheduler_config(),
        model.vae.config.scaling_factor,
        model.tokenizers(),
        diets,
        Plan(seed=args.seed, rate=args.rate, steps=args.steps, minutes=minutes_of(args)),
    )
    checkpoint = args.out / "denoiser.pt"
    if checkpoint.exists():
        trainer.load_state_dict(torch.load(checkpoint, weights_only=False))
        report("resumed", step=trainer.step)
    losses, highs = deque(maxlen=200), deque(maxlen=200)

    def save():
        if ranks.index():
            return
        keep(trainer.state_dict(), checkpoint)
        with trainer.averaged():
            folders.save(model, args.out / "denoiser")

    def on_step(_, loss, high):
        losses.append(loss)
        if not math.isnan(high):
            highs.append(high)
        if trainer.step % REPORT_STEPS == 0 or trainer.step == 5:
            report(
                "denoiser",
                step=trainer.step,
                loss=round(sum(losses) / len(losses), 5),
                high=round(sum(highs) / max(len(highs), 1), 5),
                seconds_a_step=round(trainer.seconds / trainer.step, 3),
            )
        if trainer.step % args.save_every == 0:
            save()

    trainer.run(on_step)
    save()
    report("done", step=trainer.step, minutes=round(trainer.seconds / 60, 1))


def train_decoder(args):
    """Trains the decoder of the VAE of `out/denoiser`; writes `out/model`."""
    report, model = Report(args.out), folders.load(args.out / "denoiser")
    files = pools_of(args)
    scenes = [
        decoder.Scenes(torch.load(files[side][0], weights_only=False), torch.load(pictures_file(side, args))) for side in SCENES
    ]
    guesses = decoder.Guesses(
        UNetWithControlNet(model.unet, model.controlnet),
        [model.text_encoder, model.text_encoder_2],
        model.scheduler_config(),
        model.vae.config.scaling_factor,
    )
    length = {"steps": args.decoder_steps, "minutes": args.minutes and args.minutes * DECODER_SHARE}
    decoder.train(model.vae, guesses, scenes, args.seed, report, **length)
    if not ranks.index():
        folders.save(model, args.out / "model")


def minutes_of(args):
    """Of --minutes, what is the denoiser's."""
    return args.minutes and args.minutes * (1 - DECODER_SHARE - (VAE_SHARE if args.start == "scratch" else 0))


def main():
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for data, checkpoints and the model; started again, it goes on there")
    parser.add_argument("--from", dest="start", default="scratch", help="a model to go on from, as save_pretrained or export.py wrote it; or scratch (default)")
    parser.add_argument("--minutes", type=float, help="of training, after the data is made")
    parser.add_argument("--steps", type=int, help="of the denoiser, instead: then a seed gives the same weights every time")
    parser.add_argument("--vae-steps", type=int, help="of the VAE, from scratch; with --steps (default: as many)")
    parser.add_argument("--decoder-steps", type=int, help="of the decoder alone, in the end; with --steps (default: as many)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=6e-4, help="learning rate (default: %(default)s)")
    parser.add_argument("--data", type=float, default=1.0, help="share of the samples to draw, for a trial")
    parser.add_argument("--save-every", type=int, default=400, help="steps (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count(), 4), help="that share each batch (default: %(default)s)")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="where npm packages are kept (default: %(default)s)")
    args = parser.parse_args()
    if args.minutes is None and args.steps is None:
        parser.error("name --minutes or --steps")
    most = min(batch for _, batch, _ in SIZES.values())
    if not 1 <= args.processes <= most:
        parser.error(f"--processes is {args.processes}; each has its share of a batch, so name 1 to {most}")
    for name in ("vae_steps", "decoder_steps"):
        if args.steps and not getattr(args, name):
            setattr(args, name, args.steps)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    report = Report(args.out)
    try:
        emojis = emoji.load(args.packages)
        scratch = args.start == "scratch"
        model = begin(args, emojis, report) if scratch else folders.load(args.start)
        make_data(model, emojis, args, report)
        ranks.run(args.processes, train_denoiser, args.out / "begun" if scratch else args.start, args)
        ranks.run(args.processes, train_decoder, args)
    except (FolderError, PackageError, UnpackError) as error:
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    main()
