"""A relying party, for the end-to-end tests: checks a verdict by PyJWT, which no one here wrote.

Reads one JSON object, {"token": …, "keys": JWKS, "audience": …}; prints {"claims": …} or {"refused": …}.
"""

import json
import sys

import jwt

asked = json.load(sys.stdin)
try:
    head = jwt.get_unverified_header(asked["token"])
    assert head["typ"] == "verdict+jwt", head
    keys = jwt.PyJWKSet.from_dict(asked["keys"])
    claims = jwt.decode(
        asked["token"], keys[head["kid"]].key, algorithms=["EdDSA"], audience=asked["audience"]
    )
    print(json.dumps({"claims": claims}))
except (jwt.PyJWTError, KeyError, ValueError) as why:
    print(json.dumps({"refused": type(why).__name__}))
