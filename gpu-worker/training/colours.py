"""The colours that the model knows by name."""

import numpy as np

COLOURS = {
    "red": (214, 38, 38),
    "orange": (245, 130, 32),
    "yellow": (250, 208, 44),
    "green": (52, 168, 70),
    "cyan": (40, 196, 206),
    "blue": (44, 92, 222),
    "purple": (136, 62, 196),
    "pink": (247, 120, 178),
    "brown": (128, 78, 44),
    "white": (244, 244, 244),
    "gray": (140, 142, 148),
    "black": (34, 34, 38),
}
NAMES = list(COLOURS)
OTHER_WORDS = {"gray": ("grey",), "purple": ("violet",), "cyan": ("turquoise",), "yellow": ("golden",)}
WORDS = {*NAMES, *(word for words in OTHER_WORDS.values() for word in words)}

# Luminance of sRGB values (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def rgb(name):
    """A named colour as float32 [3] in 0..1."""
    return np.array(COLOURS[name], np.float32) / 255


def word_for(name, rng):
    """The colour's name, or now and then another word for it."""
    return rng.choice((name, name, name, *OTHER_WORDS.get(name, ())))


def tint(pixels, alpha, name, rng):
    """
    Pixels [h, w, 3] in 0..1 in shades of a named colour. The median of what is opaque becomes the colour itself: a
    viewer names an object by most of its area, not by its shadows.
    """
    light = pixels @ LUMINANCE
    opaque = light[alpha > 0.5]
    if len(opaque) < 50:
        opaque = light.ravel()
    low, middle, high = np.percentile(opaque[::3], (2, 50, 98))
    # Flat artwork keeps its flatness: shades are not stretched more than so far.
    low, high = min(low, middle - 0.08), max(high, middle + 0.08)
    colour = np.clip(rgb(name) * rng.uniform(0.97, 1.06), 0, 1)
    if name == "white":
        dark, bright = colour * 0.58, np.ones(3, np.float32)
    elif name == "black":
        dark, bright = colour * 0.2, colour + 0.34
    elif name == "gray":
        dark, bright = colour * 0.45, colour * 0.45 + 0.52
    else:
        dark, bright = colour * 0.42, colour * 0.42 + 0.58
    shade = np.clip((light - low) / (middle - low), 0, 1)[..., None]
    shine = np.clip((light - middle) / (high - middle), 0, 1)[..., None]
    return (dark + (colour - dark) * shade + (bright - colour) * shine).astype(np.float32)
