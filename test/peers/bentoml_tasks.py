"""Drives a running service's tasks with BentoML's own, unmodified clients: bentoml_tasks.py BASE_URL PICTURE.

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
from _bentoml_impl.client.task import AsyncTask, Task
from _bentoml_impl.tasks import ResultStatus
from bentoml.exceptions import BentoMLException, InvalidArgument, NotFound

BASE_URL, PICTURE = sys.argv[1], pathlib.Path(sys.argv[2])
PARAMS = {"prompt": "a lighthouse", "negative_prompt": "fog", "num_inference_steps": 2}
LONG = {**PARAMS, "num_inference_steps": 1000}
FINISHED = {ResultStatus.COMPLETED, ResultStatus.FAILED, ResultStatus.CANCELED}
TIMEOUT = 120
failures = 0


def report(check: str, ok: bool, **facts: t.Any) -> None:
    global failures
    failures += not ok
    print(json.dumps({"check": check, "ok": ok, **facts}, default=str), flush=True)


async def until(task: AsyncTask, states: set[ResultStatus]) -> ResultStatus:
    """The task's state once it is one of these, or whatever it is when time is up."""
    end = time.monotonic() + TIMEOUT
    while True:
        status = await task.get_status()
        if status in states or time.monotonic() > end:
            return status
        await asyncio.sleep(0.05)


async def refused(check: str, work: t.Awaitable[t.Any], kind: type[BentoMLException], status: int, says: str) -> None:
    try:
        got = await work
    except BentoMLException as error:
        ok = isinstance(error, kind) and int(error.error_code) == status and says in str(error)
        report(check, ok, error=type(error).__name__, status=int(error.error_code), text=str(error))
    except Exception as error:
        report(check, False, error=f"{type(error).__name__}: {error}")
    else:
        report(check, False, got=str(got))


def picture(check: str, result: t.Any) -> bytes:
    result.load()
    report(check, isinstance(result, PIL.Image.Image) and min(result.size) >= 8, size=result.size, format=result.format)
    return result.convert("RGB").tobytes()


async def tasks_of(client: t.Any) -> str:
    """Everything a task can do. Gives the id of one that is completed."""
    task = await client.edges.submit(image=PICTURE, low=50)
    report("submit gives a task", isinstance(task, AsyncTask) and isinstance(task.id, str), task=task)
    status = await until(task, FINISHED)
    report("edges: completed", status is ResultStatus.COMPLETED, status=status)
    by_task = picture("edges: get", await task.get())
    by_call = picture("edges: a plain call as before", await client.edges(image=PICTURE, low=50))
    report("edges: the task's picture is the call's", by_task == by_call)

    again = await task.retry()
    report("retry gives another task", again.id != task.id, first=task.id, second=again.id)
    status = await until(again, FINISHED)
    report("retry: completed", status is ResultStatus.COMPLETED, status=status)
    report("retry: the same picture", picture("retry: get", await again.get()) == by_task)

    status = await client.edges.get_status(task.id)
    report("by id: get_status", status is ResultStatus.COMPLETED, status=status)
    picture("by id: get", await client.edges.get(task_id=task.id))

    generated = await client.generate.submit(image=PICTURE, params=PARAMS)
    status = await until(generated, FINISHED)
    report("generate: completed", status is ResultStatus.COMPLETED, status=status)
    picture("generate: get", await generated.get())

    long = await client.generate.submit(image=PICTURE, params=LONG)
    status = await until(long, {ResultStatus.IN_PROGRESS, *FINISHED})
    report("a long one is in progress", status is ResultStatus.IN_PROGRESS, status=status)
    await refused("get: not completed yet", long.get(), InvalidArgument, 400, "not completed yet")
    await refused("retry: not completed yet", long.retry(), InvalidArgument, 400, "not completed yet")
    report("cancel gives nothing", await long.cancel() is None)
    status = await long.get_status()
    report("canceled", status is ResultStatus.CANCELED, status=status)
    await refused("get: canceled", long.get(), BentoMLException, 409, "canceled")
    await long.cancel()
    status = await long.get_status()
    report("canceling again changes nothing", status is ResultStatus.CANCELED, status=status)
    await task.cancel()
    status = await task.get_status()
    report("canceling a completed task changes nothing", status is ResultStatus.COMPLETED, status=status)
    after = await client.generate.submit(image=PICTURE, params=PARAMS)
    status = await until(after, FINISHED)
    report("generate, after the cancel", status is ResultStatus.COMPLETED, status=status)

    wrong = client.generate.submit(image=PICTURE, params={**PARAMS, "stepz": 1})
    await refused("a wrong input is refused at once", wrong, BentoMLException, 400, "stepz")
    for name, ask in {"status": "get_status", "get": "get", "cancel": "cancel", "retry": "retry"}.items():
        unknown = getattr(client.edges, ask)(task_id="0" * 32)
        await refused(f"{name}: an unknown id", unknown, NotFound, 404, "no task")
        other = getattr(client.generate, ask)(task_id=task.id)
        await refused(f"{name}: another api's id", other, NotFound, 404, "no task")
    return task.id


def sync_checks(task_id: str) -> None:
    """The synchronous client's `submit` fails by itself in 1.4.39, after it has sent (it closes `_opened_files`, which it
    no longer has); all that follows a submission works."""
    with bentoml.SyncHTTPClient(BASE_URL, server_ready_timeout=60, timeout=TIMEOUT) as client:
        try:
            client.edges.submit(image=PICTURE)
            report("sync: submit fails in the client", False, got="a task: mend what we say of it")
        except AttributeError as error:
            report("sync: submit fails in the client", "_opened_files" in str(error), error=str(error))
        report("sync: get_status", client.edges.get_status(task_id) is ResultStatus.COMPLETED)
        picture("sync: get", client.edges.get(task_id))
        client.edges.cancel(task_id)
        again = client.edges.retry(task_id)
        report("sync: retry", isinstance(again, Task) and again.id != task_id, task=again)
        end = time.monotonic() + TIMEOUT
        while (status := again.get_status()) not in FINISHED and time.monotonic() < end:
            time.sleep(0.05)
        report("sync: completed", status is ResultStatus.COMPLETED, status=status)
        picture("sync: get, after retry", again.get())
        picture("sync: a plain call as before", client.edges(image=PICTURE))


async def async_checks() -> str:
    async with bentoml.AsyncHTTPClient(BASE_URL, server_ready_timeout=60, timeout=TIMEOUT) as client:
        report("every api may be submitted", all(endpoint.is_task for endpoint in client.endpoints.values()))
        return await tasks_of(client)


def main() -> int:
    sync_checks(asyncio.run(async_checks()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
