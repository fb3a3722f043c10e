"""What lies in a model folder beside the graphs: configs, tokenizers, licences, the manifest."""

import json
import shutil
from importlib.metadata import version

from sources import LICENCE_FILES, ExportError, read_json, sha256_of, weight_files

MANIFEST = "manifest.json"
PACKAGES = ("torch", "diffusers", "transformers", "onnx")


def copy_configs(out, folders, model, sources):
    """
    Copies what gpu-worker reads besides the graphs, and the sources' licences.
    @param folders each part's folder. @param model the source of scheduler and tokenizers.
    """
    for part, folder in folders.items():
        (out / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "config.json", out / part)
    (out / "scheduler").mkdir()
    read_json(model.folder / "scheduler" / "scheduler_config.json")
    shutil.copy(model.folder / "scheduler" / "scheduler_config.json", out / "scheduler")
    for name in ("tokenizer", "tokenizer_2"):
        copy_tokenizer(model.folder / name, out / name)
    write_index(out, model)
    copy_licences(out, sources)


def copy_tokenizer(source, out):
    out.mkdir()
    read_json(source / "tokenizer_config.json")
    shutil.copy(source / "tokenizer_config.json", out)
    if (source / "vocab.json").is_file() and (source / "merges.txt").is_file():
        shutil.copy(source / "vocab.json", out)
        shutil.copy(source / "merges.txt", out)
        return
    # transformers 5 saves both in one file.
    bpe = read_json(source / "tokenizer.json")["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in bpe["merges"]]
    (out / "vocab.json").write_text(json.dumps(bpe["vocab"], ensure_ascii=False))
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")


def write_index(out, model):
    """The model's model_index.json as diffusers has it for a pipeline with a ControlNet."""
    index = read_json(model.folder / "model_index.json")
    parts = {name: value for name, value in index.items() if not name.startswith("_")}
    wanted = {"_class_name": "StableDiffusionXLControlNetPipeline", "_name_or_path": model.name}
    if "_diffusers_version" in index:
        wanted["_diffusers_version"] = index["_diffusers_version"]
    write_json(out / "model_index.json", {**wanted, "controlnet": ["diffusers", "ControlNetModel"], **parts})


def copy_licences(out, sources):
    lines = ["# Sources", "", "Exported for Tandem from these models, each under its own licence:", ""]
    for parts, source in sources.items():
        revision = f", revision {source.revision}" if source.revision else ""
        lines.append(f"- {parts}: {source.name}{revision}; licence: {source.license or 'not stated in its model card'}")
        for name in LICENCE_FILES:
            if (source.folder / name).is_file():
                licences = out / "licenses" / parts.split(",")[0]
                licences.mkdir(parents=True, exist_ok=True)
                shutil.copy(source.folder / name, licences)
    (out / "NOTICE.md").write_text("\n".join(lines) + "\n")


def write_manifest(out, folders, sources, target, differences):
    """
    Lists every file with size and sha256, as `tandem model verify` reads it and `tandem model push` keeps it, and says
    what they were made of.
    """
    origins = []
    for parts, source in sources.items():
        weights = [file for part in parts.split(", ") if part in folders for file in weight_files(folders[part])[0]]
        origins.append(
            {
                "parts": parts,
                "name": source.name,
                "revision": source.revision,
                "license": source.license,
                "weights": [{"path": str(file.relative_to(source.folder)), **facts_of(file)} for file in weights],
            }
        )
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest = {
        "sources": origins,
        "target": target,
        "made_with": {name: version(name) for name in PACKAGES},
        "differences": differences,
        "files": [{"path": path.relative_to(out).as_posix(), **facts_of(path)} for path in files],
    }
    write_json(out / MANIFEST, manifest)


def facts_of(path):
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
