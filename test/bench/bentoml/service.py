"""The reference application with a model that gives its edges back as the picture, so that only BentoML is measured."""

from __future__ import annotations

import typing as t

import bentoml
import cv2
import numpy as np
import PIL.Image
from PIL.Image import Image
from pydantic import BaseModel


@bentoml.service(traffic={"timeout": 600}, workers=1)
class SDXLControlNetService:
    @bentoml.api
    async def generate(self, prompt: str, arr: np.ndarray[t.Any, np.dtype[np.uint8]], **kwargs):
        return ([PIL.Image.fromarray(arr)],)


class Params(BaseModel):
    prompt: str
    negative_prompt: t.Optional[str]
    controlnet_conditioning_scale: float = 0.5
    num_inference_steps: int = 25


@bentoml.service(traffic={"timeout": 600}, workers=1)
class ControlNet:
    controlnet_service = bentoml.depends(SDXLControlNetService)

    @bentoml.api
    async def generate(self, image: Image, params: Params) -> Image:
        arr = np.array(image)
        arr = cv2.Canny(arr, 100, 200)
        arr = arr[:, :, None]
        arr = np.concatenate([arr, arr, arr], axis=2)
        params_d = params.model_dump()
        prompt = params_d.pop("prompt")
        res = await self.controlnet_service.generate(prompt, arr=arr, **params_d)
        return res[0][0]
