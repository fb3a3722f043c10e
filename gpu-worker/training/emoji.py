"""Pictures of single objects with their names."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colours import WORDS
from packages import fetch

SIDE = 256
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
VARIATION_SELECTOR = "fe0f"
HELD_OUT = Path(__file__).with_name("held-out-emoji.json")


@dataclass(frozen=True)
class Emoji:
    """An object: `pixels` uint8 [256, 256, 4], and what to call it, without words for colours."""

    name: str
    pixels: np.ndarray


def code_points(text):
    return "-".join(f"{ord(character):x}" for character in text if f"{ord(character):x}" != VARIATION_SELECTOR)


def plain_name(name):
    """A name without its colour words: whatever the artist chose, the picture is painted anew."""
    words = [word for word in name.lower().replace("’", "'").split() if word not in WORDS]
    return " ".join(words) or "object"


def load(cache):
    """
    The emoji that the model learns from, without flags, skin tones and the names in held-out-emoji.json.
    @param cache folder for the packages. @raises PackageError
    """
    held_out = set(json.loads(HELD_OUT.read_text()).values())
    known = json.loads((fetch("unicode-emoji-json", cache) / "data-by-emoji.json").read_text())
    by_code = {code_points(character).zfill(4): facts for character, facts in known.items()}
    found = []
    for file in sorted((fetch("@lobehub/fluent-emoji-3d", cache) / "assets").glob("*.webp")):
        parts = [part for part in file.stem.split("-") if part != VARIATION_SELECTOR]
        facts = by_code.get("-".join(parts).zfill(4))
        if facts is None or facts["group"] == "Flags" or SKIN_TONES & set(parts):
            continue
        name = facts["name"].lower().replace("’", "'")
        if name in held_out:
            continue
        image = Image.open(file).convert("RGBA").resize((SIDE, SIDE))
        found.append(Emoji(plain_name(name), np.asarray(image)))
    return found
