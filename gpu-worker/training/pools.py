"""Training samples drawn ahead, by all processors, and what the denoiser sees of them."""

import os
import random
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from rendering import render

CHUNK = 64


@dataclass(frozen=True)
class Pool:
    """Samples of one size. `mean`, `std` float16 [n, 4, h, w] of the VAE; `edges` packed bits [n, side, side / 8]; ids [n, 77]."""

    side: int
    mean: torch.Tensor
    std: torch.Tensor
    edges: torch.Tensor
    ids: torch.Tensor
    ids_2: torch.Tensor

    def __len__(self):
        return len(self.mean)

    def conditions(self, index):
        """The control pictures, float32 [n, 3, side, side] of 0 and 1."""
        bits = np.unpackbits(self.edges[index].numpy(), axis=-1)
        return torch.from_numpy(bits).float()[:, None].expand(-1, 3, -1, -1)


def start_drawing(emoji):
    """In each process: one thread, and the emoji without sending them along with every chunk."""
    global SPRITES
    cv2.setNumThreads(1)
    SPRITES = emoji


def draw_chunk(side, seed, first):
    """Samples `first` and following. Each has generators of its own: how the work is shared out changes nothing."""
    samples = []
    for index in range(first, first + CHUNK):
        rng, noise = random.Random(f"{seed}/{side}/{index}"), np.random.default_rng([seed, side, index])
        samples.append(render(SPRITES, rng, noise, side))
    return samples


def draw(emoji, side, count, seed):
    """Lists of CHUNK samples, one after the other, of at least `count` samples in all."""
    processes = os.cpu_count()
    with ProcessPoolExecutor(processes, initializer=start_drawing, initargs=(emoji,)) as workers:
        ahead = deque()
        for first in range(0, count, CHUNK):
            ahead.append(workers.submit(draw_chunk, side, seed, first))
            # Drawing is faster than what is done with it: no more lie in memory than keep all processors busy.
            if len(ahead) > 2 * processes:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def pictures_of(samples):
    """The pictures as the VAE takes them, float32 [n, 3, side, side] in -1..1."""
    stacked = torch.from_numpy(np.stack([sample.picture for sample in samples]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def make_pool(emoji, side, count, seed, vae, tokenizers):
    """Draws samples and encodes them; the pictures themselves are not kept."""
    means, stds, edges, texts = [], [], [], []
    # Half the time of the usual layout.
    vae = vae.to(memory_format=torch.channels_last)
    for samples in draw(emoji, side, count, seed):
        for start in range(0, len(samples), 32):
            latents = vae.encode(pictures_of(samples[start : start + 32]).contiguous(memory_format=torch.channels_last)).latent_dist
            means.append(latents.mean.half())
            stds.append(latents.std.half())
        edges.append(np.packbits(np.stack([sample.edges for sample in samples]) > 0, axis=-1))
        texts += [sample.caption for sample in samples]
    ids, ids_2 = (encode(tokenizer, texts).short() for tokenizer in tokenizers)
    return Pool(side, torch.cat(means), torch.cat(stds), torch.from_numpy(np.concatenate(edges)), ids, ids_2)


def encode(tokenizer, texts):
    """Ids [n, 77], padded as the pipeline pads them."""
    return tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
