"""The model as a folder that diffusers reads, which export.py turns into Tandem's."""

import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import diffusers
from diffusers import AutoencoderKL, ControlNetModel, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import unpack
from modules import CLASSES

# Folders that are copied as they are.
PLAIN = "tokenizer", "tokenizer_2", "scheduler"


class FolderError(Exception):
    """A folder that can't be trained on from; says why."""


@dataclass
class Model:
    """All parts; `source` is the folder that the tokenizers and the scheduler's config are copied from."""

    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    vae: AutoencoderKL
    source: Path

    def tokenizers(self):
        return [CLIPTokenizer.from_pretrained(self.source / name) for name in ("tokenizer", "tokenizer_2")]

    def scheduler_config(self):
        return EulerDiscreteScheduler.load_config(self.source / "scheduler")


def load(folder):
    """
    A model in float32, that save_pretrained or export.py wrote.
    @raises FolderError when it is neither.
    """
    folder = Path(folder)
    if not (folder / "unet" / "config.json").is_file():
        raise FolderError(f"{folder} holds no model: unet/config.json is missing")
    if (folder / "unet_controlnet" / "model.onnx").is_file():
        return Model(**unpack.load_parts(folder), source=folder)
    parts = {name: kind.from_pretrained(folder / name, use_safetensors=True).float() for name, kind in CLASSES.items()}
    return Model(**parts, source=folder)


def save(model, folder):
    """Writes the folder as a whole: it is at `folder` only when complete, and replaces the one before."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for field in fields(Model):
        if field.name in CLASSES:
            getattr(model, field.name).save_pretrained(partial / field.name)
            # Where it was loaded from is this machine's business.
            config = partial / field.name / "config.json"
            kept = {key: value for key, value in json.loads(config.read_text()).items() if key != "_name_or_path"}
            config.write_text(json.dumps(kept, indent=2) + "\n")
    for name in PLAIN:
        shutil.copytree(model.source / name, partial / name)
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": diffusers.__version__,
        "force_zeros_for_empty_prompt": True,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
    }
    for name, kind in CLASSES.items():
        if name != "controlnet":
            index[name] = [kind.__module__.split(".")[0], kind.__name__]
    (partial / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    shutil.copy(Path(__file__).with_name("NOTICE.md"), partial)
    # The model card, of which export.py takes the licence.
    (partial / "README.md").write_text("---\nlicense: mit\n---\n\nMade by gpu-worker/training of Tandem; see NOTICE.md.\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
