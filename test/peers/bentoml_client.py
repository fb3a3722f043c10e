"""Drives a running service with BentoML's own, unmodified clients: bentoml_client.py BASE_URL PICTURE.

Prints one JSON line a check, `{"check": ..., "ok": ..., ...}`, and exits 1 when any failed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import pathlib
import sys
import tempfile
import typing as t

import bentoml
import PIL.Image
from bentoml.exceptions import BentoMLException, InvalidArgument

BASE_URL, PICTURE = sys.argv[1], pathlib.Path(sys.argv[2])
PARAMS = {"prompt": "a lighthouse", "negative_prompt": "fog", "num_inference_steps": 2}
TIMEOUT = 120
failures = 0


def report(check: str, ok: bool, **facts: t.Any) -> None:
    global failures
    failures += not ok
    print(json.dumps({"check": check, "ok": ok, **facts}), flush=True)


def picture(check: str, result: t.Any, source: PIL.Image.Image) -> None:
    """A result must be a PIL picture whose pixels load, of at least 8 x 8 and the source's aspect ratio."""
    if not isinstance(result, PIL.Image.Image):
        return report(check, False, got=type(result).__name__)
    result.load()
    width, height = result.size
    ratio = width / height / (source.width / source.height)
    # Sides are multiples of what the model runs at, so that small pictures miss the exact ratio.
    ok = width >= 8 and height >= 8 and 0.6 < ratio < 1.7
    report(check, ok, format=result.format, mode=result.mode, size=[width, height])


def attempt(check: str, work: t.Callable[[], t.Any], expect: t.Callable[[t.Any], None]) -> None:
    try:
        expect(work())
    except Exception as error:
        report(check, False, error=f"{type(error).__name__}: {error}")


def refused(check: str, work: t.Callable[[], t.Any], statuses: set[int], mentions: str) -> None:
    """The call must fail with one of the statuses, as the exception BentoML has for it, naming what is wrong."""
    try:
        result = work()
    except BentoMLException as error:
        status = int(error.error_code)
        kind_ok = status != 400 or isinstance(error, InvalidArgument)
        text = str(error)
        body_ok = isinstance(json.loads(text).get("error"), str) and mentions in text
        report(check, status in statuses and kind_ok and body_ok, status=status, error=type(error).__name__, text=text)
    except Exception as error:
        report(check, False, error=f"{type(error).__name__}: {error}")
    else:
        report(check, False, got=type(result).__name__)


def refused_by_client(check: str, work: t.Callable[[], t.Any], mentions: str) -> None:
    """The client itself must refuse, by the schema it fetched."""
    try:
        work()
    except TypeError as error:
        report(check, mentions in str(error), error=str(error))
    except Exception as error:
        report(check, False, error=f"{type(error).__name__}: {error}")
    else:
        report(check, False, got="an answer")


def opened() -> PIL.Image.Image:
    """A picture as the client can send it: opened, its file not yet read. A loaded one fails in the client."""
    return PIL.Image.open(PICTURE)


def sync_checks(source: PIL.Image.Image, directory: pathlib.Path) -> None:
    with bentoml.SyncHTTPClient(BASE_URL, server_ready_timeout=60, timeout=TIMEOUT) as client:
        report("sync: ready", client.is_ready())
        report("sync: endpoints", {"generate", "generate_images", "edges"} <= set(client.endpoints), names=sorted(client.endpoints))
        inputs = list(client.endpoints["generate"].input["properties"])
        report("sync: order of inputs", inputs[:2] == ["image", "params"], inputs=inputs)

        def generated(name: str, work: t.Callable[[], t.Any]) -> None:
            attempt(name, work, lambda result: picture(name, result, source))

        generated("sync: generate, picture by path", lambda: client.generate(image=PICTURE, params=PARAMS))
        generated("sync: generate, path as text", lambda: client.generate(image=str(PICTURE), params=PARAMS))
        generated("sync: generate, PIL picture", lambda: client.generate(image=opened(), params=PARAMS))
        in_memory = PIL.Image.open(io.BytesIO(PICTURE.read_bytes()))
        generated("sync: generate, PIL picture in memory", lambda: client.generate(image=in_memory, params=PARAMS))
        generated("sync: generate, by position", lambda: client.generate(PICTURE, PARAMS))
        generated("sync: generate, by name of the api", lambda: client.call("generate", image=PICTURE, params=PARAMS))
        jpeg = directory / "picture.jpg"
        source.convert("RGB").save(jpeg)
        generated("sync: generate, JPEG", lambda: client.generate(image=jpeg, params=PARAMS))
        null = {**PARAMS, "negative_prompt": None}
        generated("sync: generate, negative_prompt null", lambda: client.generate(image=PICTURE, params=null))

        def several(result: t.Any) -> None:
            pictures = [PIL.Image.open(io.BytesIO(base64.b64decode(one.split(",", 1)[1]))) for one in result["images"]]
            report("sync: generate_images, how many", len(pictures) == 2 and result["seed"] == 3, seed=result["seed"])
            for result_picture in pictures:
                picture("sync: generate_images", result_picture, source)

        two = {**PARAMS, "num_images_per_prompt": 2, "seed": 3}
        attempt("sync: generate_images", lambda: client.generate_images(image=PICTURE, params=two), several)
        karras = {**PARAMS, "scheduler": "dpm++_2m_karras"}
        generated("sync: generate, sampler", lambda: client.generate(image=PICTURE, params=karras))
        generated("sync: generate, thresholds", lambda: client.generate(PICTURE, PARAMS, low=50, high=99.5))

        def edges_of(name: str, work: t.Callable[[], t.Any]) -> None:
            def expect(result: t.Any) -> None:
                picture(name, result, source)
                values = set(result.convert("L").tobytes())
                report(f"{name}: 0 and 255 only", values <= {0, 255}, values=sorted(values)[:5])

            attempt(name, work, expect)

        edges_of("sync: edges", lambda: client.edges(image=PICTURE))
        edges_of("sync: edges with thresholds", lambda: client.edges(image=PICTURE, low=50, high=150.5))

        def params(**changes: t.Any) -> dict[str, t.Any]:
            return {name: value for name, value in {**PARAMS, **changes}.items() if value is not ...}

        def call(**changes: t.Any) -> t.Callable[[], t.Any]:
            return lambda: client.generate(image=PICTURE, params=params(**changes))

        refused("sync: prompt missing", call(prompt=...), {400}, "prompt")
        refused("sync: unknown field", call(stepz=1), {400}, "stepz")
        refused("sync: wrong type", call(num_inference_steps="abc"), {400}, "num_inference_steps")
        refused("sync: unknown sampler", call(scheduler="ddim"), {400}, "scheduler")
        refused("sync: several in generate", call(num_images_per_prompt=2), {400}, "generate_images")
        refused("sync: params of the wrong type", lambda: client.generate(image=PICTURE, params=[1]), {400}, "params")
        text = directory / "text.png"
        text.write_text("this is no picture")
        refused("sync: not a picture", lambda: client.generate(image=text, params=PARAMS), {415}, "image")
        empty = directory / "empty.png"
        empty.touch()
        refused("sync: empty picture", lambda: client.generate(image=empty, params=PARAMS), {400}, "image")
        cut = directory / "cut.png"
        cut.write_bytes(PICTURE.read_bytes()[: PICTURE.stat().st_size // 2])
        refused("sync: picture cut off", lambda: client.edges(image=cut), {400}, "image")
        url = "http://127.0.0.1:1/picture.png"
        refused("sync: address in place of a picture", lambda: client.edges(image=url), {400, 415}, "image")
        refused("sync: threshold null", lambda: client.edges(image=PICTURE, low=None), {400}, "low")
        refused_by_client("sync: argument missing", lambda: client.generate(image=PICTURE), "params")
        refused_by_client("sync: argument unknown", lambda: client.edges(image=PICTURE, mid=1), "mid")
        generated("sync: generate, after all that", lambda: client.generate(image=PICTURE, params=PARAMS))


async def async_checks(source: PIL.Image.Image) -> None:
    async with bentoml.AsyncHTTPClient(BASE_URL, server_ready_timeout=60, timeout=TIMEOUT) as client:
        report("async: ready", await client.is_ready())
        picture("async: generate, by path", await client.generate(image=PICTURE, params=PARAMS), source)
        picture("async: generate, PIL picture", await client.generate(image=opened(), params=PARAMS), source)
        # One after the other: concurrent calls of one client close each other's files (its file manager is shared).
        for low in (50, 100):
            picture(f"async: edges, low {low}", await client.edges(image=PICTURE, low=low), source)
        try:
            await client.generate(image=PICTURE, params={"negative_prompt": "n"})
            report("async: prompt missing", False, got="an answer")
        except InvalidArgument as error:
            report("async: prompt missing", error.error_code == 400 and "prompt" in str(error), text=str(error))


def main() -> int:
    with opened() as source, tempfile.TemporaryDirectory() as directory:
        source.load()
        sync_checks(source, pathlib.Path(directory))
        asyncio.run(async_checks(source))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
