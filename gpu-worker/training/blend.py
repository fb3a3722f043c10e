"""Blends two models of one architecture, part by part: what a run learned, steadied by the weights before it."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

import torch

import folders
from folders import FolderError
from unpack import UnpackError

PARTS = {"text_encoder": "text", "text_encoder_2": "text", "unet": "unet", "controlnet": "controlnet"}


@torch.no_grad()
def blend(before, after, shares):
    """Puts into `after` (1 - share) of the weights of `before`, by parts; its VAE stays. @param shares name in PARTS -> 0..1."""
    for part, name in PARTS.items():
        old = getattr(before, part).state_dict()
        for key, value in getattr(after, part).state_dict().items():
            # An exported text encoder lacks its last layer, which nothing asks for.
            if key in old and value.is_floating_point():
                value.copy_(torch.lerp(old[key].float(), value, shares[name]))


def main():
    parser = argparse.ArgumentParser(prog="blend.py", description=__doc__)
    parser.add_argument("before", type=Path, help="a model, as save_pretrained or export.py wrote it")
    parser.add_argument("after", type=Path, help="another, whose VAE and tokenizers are taken")
    parser.add_argument("out", type=Path, help="folder to write")
    for name in dict.fromkeys(PARTS.values()):
        parser.add_argument(f"--{name}", type=float, default=1.0, help="share of the second one's weights (default: all)")
    args = parser.parse_args()
    try:
        after = folders.load(args.after)
        blend(folders.load(args.before), after, vars(args))
        folders.save(after, args.out)
    except (FolderError, UnpackError) as error:
        sys.exit(f"blend.py: {error}")


if __name__ == "__main__":
    main()
