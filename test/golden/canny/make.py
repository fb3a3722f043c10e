"""Makes cases.json and edges.bin: what OpenCV's Canny gives for pictures made by formula.

    pip install -r requirements.txt && python make.py

The same formulas stand in test/functions/vision/canny-patterns.ts; all are in whole numbers, so both give the same
bytes. edges.bin holds the edge maps of all cases one after the other, a bit a pixel (numpy.packbits along rows),
deflated.
"""

import json
import pathlib
import zlib

import cv2
import numpy as np

HERE = pathlib.Path(__file__).parent


def mix(n):
    n = n.astype(np.uint32)
    n = (n ^ (n >> np.uint32(16))) * np.uint32(0x45D9F3B)
    n = (n ^ (n >> np.uint32(16))) * np.uint32(0x45D9F3B)
    return (n ^ (n >> np.uint32(16))).astype(np.int64)


def triangle(v):
    v = v & 511
    return np.where(v > 255, 511 - v, v)


def lattice(x, y, c, seed):
    return mix((x * 0x1F123BB5 + y * 0x5F356495 + c * 0x2545F491 + seed * 0x9E3779B1) & 0xFFFFFFFF) >> 24


def texture(x, y, c, seed):
    total = np.zeros_like(x)
    for octave, (size, weight) in enumerate([(64, 96), (32, 64), (16, 48), (8, 28), (4, 12), (2, 8)]):
        ix, iy, fx, fy = x // size, y // size, x % size, y % size
        # Channels share most of their structure, as in a photograph.
        own = c * (octave & 1)
        top = lattice(ix, iy, own, seed + octave) * (size - fx) + lattice(ix + 1, iy, own, seed + octave) * fx
        low = lattice(ix, iy + 1, own, seed + octave) * (size - fx) + lattice(ix + 1, iy + 1, own, seed + octave) * fx
        total = total + (top * (size - fy) + low * fy) * weight // (size * size)
    dx, dy = x % 96 - 48, y % 80 - 40
    disc = np.where(dx * dx + dy * dy < 700 + 40 * c, 50, 0)
    return np.clip((total >> 8) + disc - 10, 0, 255)


PATTERNS = {
    "noise": lambda x, y, c, seed, i: mix((i + seed * 0x9E3779B1) & 0xFFFFFFFF) >> 24,
    "levels": lambda x, y, c, seed, i: (mix((i + seed * 0x9E3779B1) & 0xFFFFFFFF) >> 30) * 85,
    "rings": lambda x, y, c, seed, i: triangle((x * x * 3 + y * y * 2 + x * y + seed * 31 + c * 90) >> 4),
    "waves": lambda x, y, c, seed, i: triangle((x * (5 + seed % 7) + y * (3 + seed % 11)) * (4 - c)) // (1 + seed % 3),
    "ties": lambda x, y, c, seed, i: triangle(
        np.select([c == 0, c == 1], [x * (seed % 40), y * (seed % 40)], (x + y) * (seed % 40) // 2)
    ),
    "texture": lambda x, y, c, seed, i: texture(x, y, c, seed),
    "flat": lambda x, y, c, seed, i: np.full_like(x, seed % 256),
}


def picture(kind, width, height, channels, seed):
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    i = (y * width + x) * channels + c
    return PATTERNS[kind](x, y, c, seed, i).astype(np.uint8)


def cases():
    sizes = [(1, 1), (1, 2), (2, 1), (1, 7), (9, 1), (1, 199), (199, 1), (2, 2), (3, 3), (2, 33), (33, 2)]
    sizes += [(n, n + 3) for n in (4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129)]
    sizes += [(199, 150), (150, 199), (101, 13), (13, 101), (16, 64), (48, 48), (176, 112)]
    thresholds = [(100, 200), (0, 0), (20, 60), (200, 100), (50, 50), (10, 400), (300, 600), (99.5, 250.9), (0.99, 1)]
    kinds = ["noise", "levels", "rings", "waves", "ties", "texture"]
    made = []
    for n, (width, height) in enumerate(sizes):
        for channels in (3, 1):
            for k in range(2):
                kind = kinds[(n + 3 * k + channels) % len(kinds)]
                low, high = thresholds[(2 * n + 5 * k + channels) % len(thresholds)]
                made.append((kind, width, height, channels, n + 1, low, high))
    for kind in kinds:
        for low, high in [(-20, -5), (-50, 120), (100, 2040), (2039, 2039), (100, 1e6), (100, 2147483647), (1, 3)]:
            made.append((kind, 61, 45, 3, 5, low, high))
        for low, high in [(None, 100), (100, None), (None, None), (2147483648, 1e12), (-1e12, 80)]:
            made.append((kind, 40, 40, 3, 11, low, high))
    for seed in (9, 17, 23, 34):
        made.append(("ties", 90, 70, 3, seed, 30, 90))
        made.append(("rings", 90, 70, 1, seed, 200, 300))
    # |dx| + |dy| is always even: only between an odd number and the next does flooring show.
    for threshold in (701.5, 701.4, 851.9):
        made.append(("noise", 130, 90, 3, 3, threshold, threshold))
    # Has a gradient between the directions that tan(22.5 deg) = 13573 / 2^15 and 13572 / 2^15 would tell.
    made.append(("noise", 64, 48, 3, 91, 50, 50))
    made.append(("flat", 64, 64, 3, 128, 0, 0))
    made.append(("texture", 512, 384, 3, 77, 60, 150))
    made.append(("texture", 384, 512, 1, 78, 100, 200))
    return made


def number(value):
    """JSON has no NaN: null stands for it."""
    return float("nan") if value is None else value


def main():
    fields = ["kind", "width", "height", "channels", "seed", "low", "high"]
    made = [dict(zip(fields, case)) for case in cases()]
    packed = b""
    for case in made:
        image = picture(*(case[f] for f in fields[:5]))
        if case["channels"] == 1:
            image = image[..., 0]
        edges = cv2.Canny(np.ascontiguousarray(image), number(case["low"]), number(case["high"]))
        packed += np.packbits(edges != 0, axis=1).tobytes()
    lines = ",\n".join("  " + json.dumps(case) for case in made)
    head = json.dumps({"opencv": cv2.__version__})[1:-1]
    (HERE / "cases.json").write_text("{" + head + ', "cases": [\n' + lines + "\n]}\n")
    (HERE / "edges.bin").write_bytes(zlib.compress(packed, 9))
    print(len(made), "cases,", len(packed), "bytes packed")


if __name__ == "__main__":
    main()
