"""Draws one training sample: a picture, the edges that go with it, and its caption."""

from dataclasses import dataclass

import cv2
import numpy as np

import captions
from colours import NAMES, rgb, tint, word_for

THRESHOLDS = 100, 200


@dataclass(frozen=True)
class Sample:
    """`picture` uint8 [side, side, 3], `edges` uint8 [side, side] of 0 and 255."""

    picture: np.ndarray
    edges: np.ndarray
    caption: str


def canny(picture, thresholds=THRESHOLDS):
    """The edges as the service takes them."""
    return cv2.Canny(picture, *thresholds)


def render(emoji, rng, noise, side):
    """
    A sample of the emoji's picture and maybe others. The same generators in the same state draw the same sample.
    @param emoji list of Emoji, of which some are drawn. @param rng random.Random. @param noise numpy Generator.
    """
    draw = rng.random()
    if draw < 0.1:
        count = rng.choice((2, 2, 3))
        places = [(rng.uniform(0.22, 0.42), x) for x in spread(count, rng)]
    elif draw < 0.2:
        places = [(rng.uniform(1.0, 1.5), None)]
    else:
        places = [(rng.uniform(0.5, 0.98), None)]
    canvas, background, taken = draw_background(rng, noise, side)
    things = []
    for scale, x in places:
        one = rng.choice(emoji)
        pixels, alpha, names = paint(one, taken, rng, side)
        layer = place(pixels, alpha, scale, x, rng, side)
        canvas = put(canvas, layer, side)
        things.append(captions.of_object(one.name, [word_for(name, rng) for name in names], rng))
    picture = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    caption = captions.of_scene(things, background, rng)
    edges = take_edges(picture, rng, noise)
    if caption and rng.random() < 0.04:
        picture, caption = spoil(picture, rng, noise), caption + rng.choice(captions.POOR)
    return Sample(picture, edges, caption)


def spread(count, rng):
    """Horizontal places of several objects, as parts of the side from the middle."""
    return [(index + 0.5) / count - 0.5 + rng.uniform(-0.05, 0.05) for index in range(count)]


def draw_background(rng, noise, side):
    """Float32 [side, side, 3]; words for it or None; the colours that objects on it can't have."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    if rng.random() < 0.18:
        return lit("white", x, y, rng), None, {"white"}
    first = rng.choice(NAMES)
    kind = rng.random()
    if kind < 0.84:
        canvas = lit(first, x, y, rng)
        if kind > 0.76:
            # A texture too weak for edges.
            grain = cv2.GaussianBlur(noise.standard_normal((side, side), np.float32), (0, 0), side / rng.uniform(8, 40))
            canvas = canvas * (1 + 0.05 * grain / max(grain.std(), 1e-6))[..., None]
        return canvas, word_for(first, rng), {first}
    second = rng.choice([name for name in NAMES if name != first])
    if kind < 0.92:
        angle = rng.uniform(0, 2 * np.pi)
        share = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[..., None]
        words = f"{word_for(first, rng)} and {word_for(second, rng)}"
    else:
        # A wall and the floor it stands on.
        share = np.clip((y - rng.uniform(0.05, 0.3)) * side + 0.5, 0, 1)[..., None]
        words = f"{word_for(first, rng)} wall and {word_for(second, rng)} floor"
        words = words if rng.random() < 0.5 else f"{word_for(first, rng)} and {word_for(second, rng)}"
    return lit(first, x, y, rng) * (1 - share) + lit(second, x, y, rng) * share, words, {first, second}


def lit(name, x, y, rng):
    """A wall of one colour under soft light: from above, or from the middle."""
    if rng.random() < 0.25:
        light = 1.02 - rng.uniform(0.05, 0.3) * (y + 0.5)
    else:
        light = 1.06 - 0.28 * (x * x + y * y)
    return rgb(name) * light[..., None] * rng.uniform(0.95, 1.03)


def paint(one, taken, rng, side):
    """An emoji's colours, premultiplied [h, w, 3], alpha [h, w], and the names of the colours it was given."""
    pixels = one.pixels.astype(np.float32) / 255
    alpha = pixels[..., 3]
    pixels = pixels[..., :3] * alpha[..., None]
    if side <= 128:
        pixels, alpha = (cv2.resize(value, (128, 128), interpolation=cv2.INTER_AREA) for value in (pixels, alpha))
    free = [name for name in NAMES if name not in taken]
    draw = rng.random()
    if draw < 0.15:
        return pixels, alpha, []
    names = rng.sample(free, 2 if draw > 0.9 else 1)
    plain = np.minimum(pixels / np.maximum(alpha, 1e-3)[..., None], 1)
    painted = tint(plain, alpha, names[0], rng)
    if len(names) == 2:
        size = len(alpha)
        y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
        angle = rng.uniform(0, np.pi)
        share = np.clip((np.cos(angle) * x + np.sin(angle) * y + rng.uniform(-0.12, 0.12)) * size + 0.5, 0, 1)[..., None]
        painted = painted * (1 - share) + tint(plain, alpha, names[1], rng) * share
    return painted * alpha[..., None], alpha, names


def place(pixels, alpha, scale, x, rng, side):
    """The object turned, mirrored and moved, as premultiplied [side, side, 4]."""
    size = len(alpha)
    turn = rng.uniform(-18, 18) if rng.random() < 0.6 else 0
    zoom = scale * side / size
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, zoom)
    room = side * min(0.5 * max(1 - scale, 0) + 0.04, 0.25)
    matrix[0, 2] += side / 2 - size / 2 + (rng.uniform(-room, room) if x is None else x * side)
    matrix[1, 2] += side / 2 - size / 2 + rng.uniform(-room, room)
    layer = np.dstack([pixels, alpha])
    if rng.random() < 0.5:
        layer = np.ascontiguousarray(layer[:, ::-1])
    return cv2.warpAffine(layer, matrix, (side, side), flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)


def put(canvas, layer, side):
    """Lays the object on the canvas, over a soft shadow."""
    alpha = layer[..., 3:]
    shadow = cv2.GaussianBlur(np.roll(alpha[..., 0], int(side * 0.03), 0), (0, 0), side * 0.025)[..., None]
    return layer[..., :3] + canvas * (1 - 0.3 * shadow) * (1 - alpha)


def take_edges(picture, rng, noise):
    """Mostly the service's own edges; else with other thresholds, of a worse picture, or with gaps, as of photographs."""
    draw = rng.random()
    if draw < 0.75:
        return canny(picture)
    if draw < 0.87:
        low = rng.uniform(40, 160)
        return canny(picture, (low, low * rng.uniform(1.4, 2.6)))
    if draw < 0.94:
        worse = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)) + noise.normal(0, rng.uniform(2, 10), picture.shape)
        return canny(np.clip(worse, 0, 255).astype(np.uint8), (rng.uniform(60, 110), rng.uniform(140, 220)))
    edges = canny(picture)
    for _ in range(rng.randrange(1, 6)):
        top, left, size = rng.randrange(len(edges)), rng.randrange(len(edges)), rng.randrange(4, len(edges) // 4)
        edges[top : top + size, left : left + size] = 0
    return edges


def spoil(picture, rng, noise):
    """A picture of poor quality, so that the words for it mean something in a negative prompt."""
    blurred = cv2.GaussianBlur(picture, (0, 0), len(picture) / 128 * rng.uniform(1.5, 3))
    return np.clip(blurred + noise.normal(0, rng.uniform(0, 8), picture.shape), 0, 255).astype(np.uint8)
