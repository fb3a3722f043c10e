"""A BentoML service for Tandem's client to call."""

from __future__ import annotations

import typing as t

import bentoml
import numpy as np
import pydantic
from PIL import ImageOps
from PIL.Image import Image


class Label(pydantic.BaseModel):
    name: str
    score: float


@bentoml.service(traffic={"timeout": 30})
class Peer:
    @bentoml.api
    def double(self, arr: np.ndarray[t.Any, np.dtype[np.float32]]) -> np.ndarray[t.Any, np.dtype[np.float32]]:
        return arr * 2

    @bentoml.api
    def invert(self, image: Image, note: str = "") -> Image:
        return ImageOps.invert(image.convert("RGB"))

    @bentoml.api
    def label(self, name: str, score: float) -> Label:
        return Label(name=name.upper(), score=score)

    @bentoml.api
    async def words(self, text: str) -> t.AsyncGenerator[str, None]:
        for word in text.split():
            yield word
