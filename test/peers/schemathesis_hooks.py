"""What the run in schemathesis.test.ts changes about Schemathesis' requests, and which answers it takes for right."""

import base64
import json
import os
import pathlib

import schemathesis

PICTURE = pathlib.Path(__file__).parents[2] / "examples/cat-face.png"
PICTURE_BASE64 = base64.b64encode(PICTURE.read_bytes()).decode()
MOST_STEPS = 2
DEADLINES = {"tandem-timeout-ms", "tandem-max-queue-time"}

# Tasks and idempotency keys that came with a deadline, so that they may have missed it.
hurried = set()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    params = case.body.get("params") if isinstance(case.body, dict) else None
    if isinstance(params, dict):
        # The model takes 40 ms a step, and up to 1000 steps are right: one call would take the time of the whole run.
        # 283.0 is a whole number, too.
        steps = params.get("num_inference_steps", 25)
        if type(steps) in (int, float) and MOST_STEPS < steps <= 1000:
            params["num_inference_steps"] = MOST_STEPS
    # A form's pictures are pictures already; in JSON, no text that is made up is one.
    if case.media_type == "application/json" and isinstance(case.body, dict):
        if case.meta and case.meta.generation.mode.is_positive and isinstance(case.body.get("image"), str):
            case.body["image"] = PICTURE_BASE64
    for name, value in (case.headers or {}).items():
        # Nobody else's server is told of our tasks.
        if name.lower() == "tandem-callback" and str(value).startswith(("http://", "https://")):
            case.headers[name] = os.environ["CALLBACK_URL"]


@schemathesis.hook
def after_call(ctx, case, response):
    if _is_hurried(case):
        hurried.update(filter(None, [_json(response).get("task_id"), _header(case, "idempotency-key")]))


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """DEADLINE_EXCEEDED is the documented answer to who set a deadline, and "5e-324 ms" is one: no fault of the server's."""
    late = response.status_code == 504 and _json(response).get("code") == "DEADLINE_EXCEEDED"
    return not (failure.code == "ST101" and late and _is_hurried(case))


def _is_hurried(case):
    known = {(case.query or {}).get("task_id"), _header(case, "idempotency-key")}
    return any(_header(case, name) is not None for name in DEADLINES) or not hurried.isdisjoint(known)


def _header(case, wanted):
    return next((value for name, value in (case.headers or {}).items() if name.lower() == wanted), None)


def _json(response):
    try:
        value = json.loads(response.content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
