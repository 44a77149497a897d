"""A receiver of webhooks, for the end-to-end tests: checks them by standardwebhooks (PyPI), which no one here wrote,
and, where it is given a public key instead, by cryptography, as Standard Webhooks says of `v1a`.

Reads one JSON object, {"secret": "whsec_…" | "whpk_…", "headers": {…}, "body": …}; prints {"taken": …} or {"refused": …}.
"""

import base64
import json
import sys

import standardwebhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def by_public_key(secret: str, headers: dict, body: str) -> dict:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    for signature in headers["webhook-signature"].split(" "):
        version, value = signature.split(",", 1)
        if version == "v1a":
            key.verify(base64.b64decode(value), signed)
            return json.loads(body)
    raise InvalidSignature


asked = json.load(sys.stdin)
secret, headers, body = asked["secret"], asked["headers"], asked["body"]
try:
    if secret.startswith("whpk_"):
        taken = by_public_key(secret, headers, body)
    else:
        taken = standardwebhooks.Webhook(secret).verify(body, headers)
    print(json.dumps({"taken": taken}))
except (standardwebhooks.WebhookVerificationError, InvalidSignature) as why:
    print(json.dumps({"refused": type(why).__name__}))
