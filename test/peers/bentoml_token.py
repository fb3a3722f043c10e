"""BentoML's own clients, unmodified, and a service that asks for keys: bentoml_token.py BASE_URL PICTURE KEY OTHER_KEY.

Prints one JSON line a check, `{"check": ..., "ok": ..., ...}`, and exits 1 when any failed.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sys
import time
import typing as t

import bentoml
import PIL.Image
from bentoml.exceptions import BentoMLException

BASE_URL, PICTURE = sys.argv[1], pathlib.Path(sys.argv[2])
KEY, OTHER_KEY = sys.argv[3:5]
TIMEOUT = 120
failures = 0


def report(check: str, ok: bool, **facts: t.Any) -> None:
    global failures
    failures += not ok
    print(json.dumps({"check": check, "ok": ok, **facts}), flush=True)


def refused(check: str, token: str | None) -> None:
    """Without a known key, a client does not come to know what there is to call; it does not say why."""
    try:
        with bentoml.SyncHTTPClient(BASE_URL, token=token, timeout=TIMEOUT) as client:
            report(check, False, endpoints=list(client.endpoints))
    except BentoMLException as error:
        report(check, "Failed to fetch schema" in str(error), error=str(error))


def limited(check: str) -> None:
    """With a key for another api, a call fails with our status and words."""
    with bentoml.SyncHTTPClient(BASE_URL, token=OTHER_KEY, timeout=TIMEOUT) as client:
        try:
            report(check, False, got=type(client.edges(image=PICTURE)).__name__)
        except BentoMLException as error:
            said = json.loads(str(error)).get("code")
            report(check, int(error.error_code) == 403 and said == "PERMISSION_DENIED", error=str(error))


async def async_checks() -> None:
    async with bentoml.AsyncHTTPClient(BASE_URL, token=KEY, server_ready_timeout=60, timeout=TIMEOUT) as client:
        edges = await client.edges(image=PICTURE)
        report("async: a call", isinstance(edges, PIL.Image.Image), got=type(edges).__name__)
        task = await client.edges.submit(image=PICTURE)
        end = time.monotonic() + TIMEOUT
        while (status := (await task.get_status()).value) in {"pending", "in_progress"} and time.monotonic() < end:
            await asyncio.sleep(0.1)
        report("async: a task", status == "completed", status=status)
        report("async: its result", isinstance(await task.get(), PIL.Image.Image))


def main() -> int:
    with bentoml.SyncHTTPClient(BASE_URL, token=KEY, server_ready_timeout=60, timeout=TIMEOUT) as client:
        report("readyz", client.is_ready())
        report("the endpoints", {"edges", "generate"} <= set(client.endpoints), endpoints=list(client.endpoints))
        edges = client.edges(image=PICTURE)
        report("a call", isinstance(edges, PIL.Image.Image), got=type(edges).__name__)
    asyncio.run(async_checks())
    refused("no token", None)
    refused("a wrong token", "wrong-0123456789abcdef")
    limited("a key for another api")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
