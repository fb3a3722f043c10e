"""Signs requests as botocore does: reads one JSON object a line, `{method, url, headers, body, credentials, region,
timestamp}` (body in base64, headers those that are to be signed), prints the signature of each."""

import base64
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    asked = json.loads(line)
    signer = SigV4Auth(Credentials(*asked["credentials"]), "lambda", asked["region"])
    body = base64.b64decode(asked["body"])
    request = AWSRequest(asked["method"], asked["url"], asked["headers"], body)
    request.context["timestamp"] = asked["timestamp"]
    # The payload's hash is worked out here and not taken from the header. Setting one does not replace another.
    del request.headers["X-Amz-Content-SHA256"]
    request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    print(signer.signature(text, request), flush=True)
