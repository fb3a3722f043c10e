"""Turns an SDXL model, a ControlNet and a VAE of diffusers into a model folder for Tandem."""

import argparse
import gc
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import diffusers
import torch
import transformers

from cases import graph_cases, text_cases
from folder import copy_configs, write_manifest
from modules import CLASSES, GRAPHS, check_configs, empty_part, load_part
from sources import ExportError, open_source
from tracing import trace
from verify import TOLERANCES, compare, reference
from weights import store

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
CANNY = "diffusers/controlnet-canny-sdxl-1.0"
VAE = "madebyollin/sdxl-vae-fp16-fix"
SPLIT_STEPS = Path(__file__).parents[1] / "onnx" / "split_steps.py"


def export_graph(name, folders, out, cases, dtype):
    """
    Writes the graph `name` below `out`, and compares it with torch.
    @returns what torch makes of `cases` in float32, and the differences to that.
    """
    started = time.monotonic()
    spec = GRAPHS[name]
    parts = [load_part(part, folders[part]) for part in spec.parts]
    module = spec.module(*parts).eval()
    weights = module.state_dict()
    expected = reference(module, cases, dtype)
    bare = spec.module(*(empty_part(part, folders[part], dtype) for part in spec.parts)).eval()
    for buffer, value in zip(bare.buffers(), module.buffers(), strict=True):
        buffer.copy_(value)
    graph = trace(bare, spec, cases[0])
    path = out / name / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    size = store(graph, weights, path, dtype == torch.float32)
    del module, parts, weights, bare
    gc.collect()
    differences = compare(path, cases, expected, TOLERANCES[dtype])
    print(f"{name}: {size / 1e6:.1f} MB of weights, works in {str(dtype)[6:]}, {time.monotonic() - started:.0f} s")
    for difference in differences:
        print(f"  {difference}", flush=True)
    return expected, differences


def states_of(expected):
    """The text states of all prompts, from the last case of both encoders: hidden ones side by side, and the pooled."""
    (first,), (second, pooled) = (expected[name][-1] for name in ("text_encoder", "text_encoder_2"))
    return torch.cat([torch.from_numpy(first), torch.from_numpy(second)], -1), torch.from_numpy(pooled)


def open_sources(model_name, controlnet_name, vae_name):
    """The sources by the names of the parts that are taken from each, the model's first."""
    own = "text_encoder", "text_encoder_2", "unet"
    if controlnet_name is None and Path(model_name, "controlnet", "config.json").is_file():
        controlnet_name = model_name
    if vae_name is None and model_name.partition("@")[0] != SDXL:
        vae_name = model_name
    others = {"controlnet": controlnet_name or CANNY, "vae": vae_name or VAE}
    mine = [part for part, name in others.items() if name == model_name]
    sources = {", ".join([*own, *mine]): open_source(model_name, [*own, *mine])}
    for part, name in others.items():
        if part not in mine:
            sources[part] = open_source(name, ["", part])
    return sources


def export(sources, out, target):
    """
    Writes the model folder; it is at `out` only when every graph is what torch makes of it.
    @param sources names of parts, with commas between -> Source; the model's first.
    @raises ExportError saying what is wrong with which source, graph or file.
    """
    folders = {part: source.part(part) for parts, source in sources.items() for part in parts.split(", ")}
    folders = {part: folders[part] for part in CLASSES}
    configs = check_configs(folders)
    model = next(iter(sources.values()))
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy_configs(partial, folders, model, sources)

    half = torch.float16 if target == "gpu" else torch.float32
    expected, told = {}, []
    for name in GRAPHS:
        dtype = torch.float32 if name.startswith("vae") and configs["vae"].get("force_upcast", True) else half
        if name.startswith("text"):
            cases = text_cases(partial / name.replace("text_encoder", "tokenizer"))
        else:
            cases = graph_cases(name, configs, states_of(expected), dtype)
        expected[name], differences = export_graph(name, folders, partial, cases, dtype)
        told += [{"graph": name, **asdict(difference)} for difference in differences]
    if target == "cpu":
        subprocess.run([sys.executable, SPLIT_STEPS, partial / "unet_controlnet" / "model.onnx"], check=True)
    write_manifest(partial, folders, sources, target, told)
    partial.rename(out)


def main():
    parser = argparse.ArgumentParser(
        prog="export.py",
        description=__doc__,
        epilog="A model is a folder as diffusers saves it, or ID[@REVISION] on the Hugging Face hub. Every graph is compared "
        "with torch; the exit code is 1, and there is no folder, where one differs by more than the tolerance. "
        "docs/model.md tells more.",
    )
    parser.add_argument("out", type=Path, help="the folder to write; it must not exist")
    parser.add_argument("--model", default=SDXL, help="text encoders, UNet, tokenizers, scheduler (default: %(default)s)")
    parser.add_argument("--controlnet", help=f"default: the model's own where its folder has one, else {CANNY}")
    parser.add_argument("--vae", help=f"default: the model's own; for the default model {VAE}")
    parser.add_argument(
        "--target",
        choices=("gpu", "cpu"),
        default="gpu",
        help="gpu: graphs that work in float16 (default). cpu: they work in float32, with weights stored as float16, and "
        "the denoiser is also written in two parts, of which one runs once a picture",
    )
    args = parser.parse_args()
    # Neither progress bars nor a warning of a list that is empty.
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        # Before gigabytes are fetched.
        if args.out.exists():
            raise ExportError(f"{args.out} is there already")
        export(open_sources(args.model, args.controlnet, args.vae), args.out, args.target)
    except ExportError as error:
        sys.exit(f"export.py: {error}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{args.out}: done; {peak:.1f} GiB of memory at most")


if __name__ == "__main__":
    main()
