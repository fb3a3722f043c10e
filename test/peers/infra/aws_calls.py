"""
Checks calls of AWS's APIs against botocore's models, and makes them against a server: one JSON object a line on standard
input, {"resource", "service", "operation", "params", "mocked": {...}}; one JSON object a line back, {"resource", "faults": [...]}.
With an endpoint as argument each call is made as well, and what the server made takes the place of what was mocked in the
calls that follow: "mocked" maps a path in the answer to the text that stood for it.
"""
import io
import json
import re
import sys
import zipfile

import botocore.session

session = botocore.session.get_session()
endpoint = sys.argv[1] if len(sys.argv) > 1 else None
REGION = "us-east-1"
clients = {}
real = {}


def client(service):
    if service not in clients:
        clients[service] = session.create_client(
            service,
            region_name=REGION,
            endpoint_url=endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="testtest",
        )
    return clients[service]


def faults_of(shape, value, path):
    """Everything that AWS's model says of a value: botocore's own check leaves out enums, patterns and greatest sizes."""
    kind, rules = shape.type_name, shape.metadata
    found = []

    def fault(text):
        found.append(f"{path}: {text}")

    def sized(size, what):
        if "min" in rules and size < rules["min"]:
            fault(f"{what} {size} is below {rules['min']}")
        if "max" in rules and size > rules["max"]:
            fault(f"{what} {size} is over {rules['max']}")

    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path}: is no structure: {value!r}"]
        for name in shape.required_members:
            if value.get(name) is None:
                fault(f"{name} is missing")
        for name, member in value.items():
            if name not in shape.members:
                fault(f"{name} is unknown")
            else:
                found += faults_of(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        if not isinstance(value, list):
            return [f"{path}: is no list: {value!r}"]
        sized(len(value), "length")
        for i, member in enumerate(value):
            found += faults_of(shape.member, member, f"{path}[{i}]")
    elif kind == "map":
        if not isinstance(value, dict):
            return [f"{path}: is no map: {value!r}"]
        for name, member in value.items():
            found += faults_of(shape.key, name, f"{path} key")
            found += faults_of(shape.value, member, f"{path}.{name}")
    elif kind == "string":
        if not isinstance(value, str):
            return [f"{path}: is no text: {value!r}"]
        sized(len(value), "length")
        if shape.enum and value not in shape.enum:
            fault(f"{value!r} is none of {', '.join(shape.enum)}")
        pattern = rules.get("pattern")
        # What stands for an id has no id's form.
        if pattern and not value.startswith("<") and not matches(pattern, value):
            fault(f"{value!r} does not match {pattern}")
    elif kind in ("integer", "long"):
        if isinstance(value, bool) or not isinstance(value, int):
            return [f"{path}: is no whole number: {value!r}"]
        sized(value, "value")
    elif kind in ("float", "double"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return [f"{path}: is no number: {value!r}"]
        sized(value, "value")
    elif kind == "boolean":
        if not isinstance(value, bool):
            return [f"{path}: is no boolean: {value!r}"]
    return found


def matches(pattern, value):
    try:
        # Java's classes of characters, which AWS's models use.
        python = pattern.replace("\\p{L}", "A-Za-z").replace("\\p{Z}", " ").replace("\\p{N}", "0-9").replace("\\p{C}", "")
        python = python.replace("\\p{Alnum}", "A-Za-z0-9").replace("\\p{Punct}", "!-/:-@\\[-`{-~")
        return re.fullmatch(python, value) is not None
    except re.error:
        return True


def with_real(value):
    """A value with what the server made in the place of what was mocked."""
    if isinstance(value, dict):
        return {name: with_real(member) for name, member in value.items()}
    if isinstance(value, list):
        return [with_real(member) for member in value]
    if isinstance(value, str):
        for mocked in sorted(real, key=len, reverse=True):
            value = value.replace(mocked, real[mocked])
    return value


def at(answer, path):
    for part in path.split("."):
        answer = answer[int(part)] if part.isdigit() else answer[part]
    return answer


def archive():
    """A function's code: what is in the bundle is other tests' business."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as zipped:
        zipped.writestr("bundle.mjs", "export const handler = async () => {};")
    return code.getvalue()


# What moto has no operation for.
LACKING = {"PutProvisionedConcurrencyConfig"}


def as_moto_wants(call):
    """Where moto 5.2.5 differs from AWS: it wants a limit of memory beside a reservation, and code that it can look at."""
    params = call["params"]
    if call["operation"] == "RegisterTaskDefinition":
        for container in params["containerDefinitions"]:
            container.setdefault("memory", container.get("memoryReservation", 512))
    if call["operation"] == "CreateFunction" and "S3Key" in params["Code"]:
        params["Code"] = {"ZipFile": archive()}


def make_aliases(params):
    """Makes the aliases of a stack's template, which moto's CloudFormation passes over."""
    values = {one["ParameterKey"]: one["ParameterValue"] for one in params["Parameters"]}
    for resource in json.loads(params["TemplateBody"])["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Alias":
            wanted = resource["Properties"]
            client("lambda").create_alias(
                Name=wanted["Name"],
                FunctionName=values[wanted["FunctionName"]["Ref"]],
                FunctionVersion=values[wanted["FunctionVersion"]["Ref"]],
            )


def make(call, faults):
    if call["operation"] in LACKING:
        return
    as_moto_wants(call)
    method = botocore.xform_name(call["operation"])
    try:
        answer = getattr(client(call["service"]), method)(**with_real(call["params"]))
        if call["operation"] == "CreateStack":
            make_aliases(call["params"])
    except Exception as error:
        faults.append(f"{call['service']} refuses {call['operation']}: {error}")
        return
    for path, mocked in call["mocked"].items():
        real[mocked] = str(at(answer, path))


for line in sys.stdin:
    call = json.loads(line)
    model = session.get_service_model(call["service"]).operation_model(call["operation"])
    faults = faults_of(model.input_shape, call["params"], call["operation"])
    if endpoint and not faults:
        make(call, faults)
    print(json.dumps({"resource": call["resource"], "faults": faults}), flush=True)
