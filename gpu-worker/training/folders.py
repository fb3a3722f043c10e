"""The model as a folder that diffusers reads, which export.py turns into Tandem's."""

import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from diffusers import AutoencoderKL, ControlNetModel, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

CLASSES = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "unet": UNet2DConditionModel,
    "controlnet": ControlNetModel,
    "vae": AutoencoderKL,
}
# Files that are copied as they are.
PLAIN = "tokenizer", "tokenizer_2", "scheduler"


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
    """A model that save_pretrained wrote, in float32."""
    folder = Path(folder)
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
    for name in PLAIN:
        shutil.copytree(model.source / name, partial / name)
    index = {
        "_class_name": "StableDiffusionXLPipeline",
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
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
