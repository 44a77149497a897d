"""An issuer of tokens, for the end-to-end tests: signs by PyJWT, and publishes its keys by HTTP.

Prints {"port": …}. Each line of stdin is {"id": n} with one of
  "sign": {"alg": …, "kid": …, "key": …, "claims": {…}, "headers": {…}}  answered {"id": n, "token": …}
  "rotate": true   another Ed25519 key, "new", is published beside the others; answered {"id": n}
  "asked": true    how often the keys were fetched; answered {"id": n, "asked": …}
`key` names the key that signs ("rsa", "ec", "ed", "new"), or "public" for the RSA key's public PEM as a secret.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import threading

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

keys = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
algorithms = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA", "new": "EdDSA"}
asked = 0


def jwks():
    published = []
    for name, key in keys.items():
        algorithm = jwt.get_algorithm_by_name(algorithms[name])
        jwk = json.loads(algorithm.to_jwk(key.public_key()))
        published.append({**jwk, "kid": name, "use": "sig"})
    return json.dumps({"keys": published}).encode()


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        body = jwks()
        self.send_response(200)
        self.send_header("content-type", "application/jwk-set+json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def sign(wish):
    headers = {"kid": wish["kid"], **wish.get("headers", {})}
    if wish["key"] == "public":
        # PyJWT refuses a public key as a secret; an attacker does not.
        pem = keys["rsa"].public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signed = part({"alg": wish["alg"], **headers}) + b"." + part(wish["claims"])
        mac = hmac.new(pem, signed, hashlib.sha256).digest()
        return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
    key = None if wish["alg"] == "none" else keys[wish["key"]]
    return jwt.encode(wish["claims"], key, algorithm=wish["alg"], headers=headers)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
for line in sys.stdin:
    wish = json.loads(line)
    answer = {"id": wish["id"]}
    if "sign" in wish:
        answer["token"] = sign(wish["sign"])
    if "rotate" in wish:
        keys["new"] = ed25519.Ed25519PrivateKey.generate()
    if "asked" in wish:
        answer["asked"] = asked
    print(json.dumps(answer), flush=True)
