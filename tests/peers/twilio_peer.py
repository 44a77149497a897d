"""Twilio, for the end-to-end tests: its API, and what it does with a call or a text afterwards.

Every signature is made by Twilio's own library, and so is every document to compare ours with.

It takes commands, one JSON object a line: {"id": N, "do": "…", …}, and answers each with one line
of the same id. The first line it prints is {"port": N}: where its API listens.

  gateway  public, at                 where the gateway is said to be, and where it is
  front    to                         starts a relay to this port that keeps `sl-violations`; its port
  answers  to, create, list           how requests about this phone are answered:
                                      create "take", "take 504", "take hang", "leave 504",
                                      list "all", "none", "fail"
  requests                            every request that reached the API
  violations                          what the relay saw, and how many requests went through it
  answer   sid                        the call is up: fetches the first document
  press    sid, key                   what a key does (null: none comes) in the last document
  status   sid, status, more          tells of a call
  receipt  sid, status, more          tells of a text
  inbound  path, from, to, body, sid  a person writes
  send     port, method, path, headers, body     a request as it is
  tree     xml                        a document, as JSON
  twiml    verbs                      the same of what Twilio's library writes for these verbs

Those that make requests of the gateway take a "token" to sign with; the account's unless given.
"""

import argparse
import base64
import json
import sys
import threading
import time
import uuid
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Gather, VoiceResponse

options = argparse.ArgumentParser()
options.add_argument("--account", required=True)
options.add_argument("--token", required=True)
OPTIONS = options.parse_args()

PATIENCE = 20
FORM = "application/x-www-form-urlencoded"

lock = threading.Lock()
gateway = {}
answers = {}
requests = []
resources = {}
documents = {}
violations = []
relayed = 0


def resource(kind, sid, params):
    """A call or text as Twilio's API shows it."""
    now = formatdate(usegmt=True).replace("GMT", "+0000")
    shown = {
        "sid": sid,
        "account_sid": OPTIONS.account,
        "api_version": "2010-04-01",
        "to": params["To"],
        "from": params.get("From"),
        "status": "queued",
        "direction": "outbound-api",
        "date_created": now,
        "date_updated": now,
        "price": None,
        "price_unit": "USD",
        "uri": f"/2010-04-01/Accounts/{OPTIONS.account}/{kind}/{sid}.json",
    }
    if kind == "Messages":
        shown |= {
            "body": params.get("Body"),
            "date_sent": None,
            "error_code": None,
            "error_message": None,
            "messaging_service_sid": None,
            "num_media": "0",
            "num_segments": "1",
        }
    return shown


class Api(BaseHTTPRequestHandler):
    """The few resources of the API that the gateway uses."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json"):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code):
        self.reply(status, json.dumps({"code": code, "message": "no", "status": status}))

    def known(self):
        """Whether it is this account that asks; it is told when not."""
        pair = base64.b64encode(f"{OPTIONS.account}:{OPTIONS.token}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {pair}":
            return True
        self.error(401, 20003)
        return False

    def do_GET(self):
        if not self.known():
            return
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query))
        kind = url.path.rsplit("/", 1)[1].removesuffix(".json")
        note("GET", url.path, params, None, self.headers)
        how = answers.get(params.get("To"), {}).get("list", "all")
        if how == "fail":
            self.error(500, 20500)
            return
        with lock:
            fitting = [
                it
                for name, it in resources.values()
                if how == "all"
                and name == kind
                and it["to"] == params.get("To", it["to"])
                and it["from"] == params.get("From", it["from"])
            ]
        page = {
            kind.lower(): fitting,
            "end": 0,
            "first_page_uri": "https://api.twilio.com" + self.path,
            "next_page_uri": None,
            "page": 0,
            "page_size": 50,
            "previous_page_uri": None,
            "start": 0,
            "uri": "https://api.twilio.com" + self.path,
        }
        self.reply(200, json.dumps(page))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.known():
            return
        pairs = parse_qsl(body, keep_blank_values=True)
        params = dict(pairs)
        params["StatusCallbackEvent"] = [v for name, v in pairs if name == "StatusCallbackEvent"]
        kind = self.path.rsplit("/", 1)[1].removesuffix(".json")
        if kind not in ("Calls", "Messages"):
            note("POST", self.path, params, kind, self.headers)
            with lock:
                found = resources.get(kind)
            if found is None:
                self.error(404, 20404)
            else:
                self.reply(200, json.dumps(found[1] | {"status": params["Status"]}))
            return
        if "To" not in params:
            self.error(400, 21201)
            return
        how = answers.get(params["To"], {}).get("create", "take")
        sid = ("CA" if kind == "Calls" else "SM") + uuid.uuid4().hex
        shown = resource(kind, sid, params)
        note("POST", self.path, params, sid, self.headers)
        if how.startswith("take"):
            with lock:
                resources[sid] = (kind, shown)
        if how.endswith("504"):
            self.reply(504, "<html>Gateway Time-out</html>", "text/html")
        elif how.endswith("hang"):
            # Longer than anybody waits for it.
            time.sleep(60)
            self.close_connection = True
        else:
            self.reply(201, json.dumps(shown))


def note(method, path, params, sid, headers):
    """Keeps a request, and the trace that it is part of."""
    trace = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    kept = {"method": method, "path": path, "params": params, "sid": sid, "trace": trace}
    with lock:
        requests.append(kept)


def front(to):
    """Relays to this port, and keeps what a relay behind it says is wrong."""

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def relay(self):
            global relayed
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there = HTTPConnection("127.0.0.1", to, timeout=PATIENCE)
            headers = {n: v for n, v in self.headers.items() if n.lower() != "connection"}
            there.request(self.command, self.path, body, headers)
            back = there.getresponse()
            data = back.read()
            with lock:
                relayed += 1
                found = back.getheader("sl-violations")
                if found:
                    where = {"path": self.path, "status": back.status}
                    violations.extend(it | where for it in json.loads(found))
            self.send_response(back.status)
            self.send_header("Content-Type", back.getheader("Content-Type") or "text/plain")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = relay

    return {"port": serve(Relay)}


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def send(port, method, path, headers, body):
    """A request as it is."""
    there = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    there.request(method, path, body.encode(), headers)
    back = there.getresponse()
    text = back.read().decode()
    return {
        "status": back.status,
        "headers": {name.lower(): value for name, value in back.getheaders()},
        "body": text,
    }


def tell(url, params, token=None):
    """Posts a form to the gateway, by the address that it gave, signed."""
    if not url.startswith(gateway["public"]):
        raise ValueError(f"an address that is not the gateway's: {url}")
    port = int(gateway["at"].rsplit(":", 1)[1])
    path = url[len(gateway["public"]) :]
    headers = {"Content-Type": FORM, "User-Agent": "TwilioProxy/1.1"}
    if token != "":
        validator = RequestValidator(token or OPTIONS.token)
        headers["X-Twilio-Signature"] = validator.compute_signature(url, params)
    return send(port, "POST", path, headers, urlencode(params))


def call_params(sid, status):
    shown = resources[sid][1]
    return {
        "AccountSid": OPTIONS.account,
        "ApiVersion": "2010-04-01",
        "CallSid": sid,
        "CallStatus": status,
        "Called": shown["to"],
        "CalledCity": "",
        "CalledCountry": "US",
        "Caller": shown["from"],
        "Direction": "outbound-api",
        "From": shown["from"],
        "To": shown["to"],
        "ToState": "District of Columbia – é",
    }


def created(sid):
    """With which parameters a call or text was ordered."""
    return next(it["params"] for it in requests if it["sid"] == sid)


def spoken(sid, back):
    """Keeps a document that the gateway answered with."""
    if back["status"] == 200:
        documents[sid] = back["body"]
        back["verbs"] = [verb.tag for verb in ElementTree.fromstring(back["body"].encode())]
    return back


def answer(sid, token=None):
    params = created(sid)
    return spoken(sid, tell(params["Url"], call_params(sid, "in-progress"), token))


def press(sid, key, token=None):
    """What <Gather> documents: `finishOnKey` is `#` unless said, and is no digit; an input without
    digits leads to `action` only where `actionOnEmptyResult` is true, else to the next verb."""
    verbs = list(ElementTree.fromstring(documents[sid].encode()))
    gather = verbs[0]
    if gather.tag != "Gather" or gather.get("numDigits") != "1" or gather.get("input") != "dtmf":
        raise ValueError(f"nothing takes a key: {documents[sid]}")
    digits = "" if key is None or key in gather.get("finishOnKey", "#") else key
    params = call_params(sid, "in-progress")
    if digits or gather.get("actionOnEmptyResult") == "true":
        params |= {"Digits": digits, "FinishedOnKey": "", "msg": "Gather End"}
        return spoken(sid, tell(gather.get("action"), params, token))
    if len(verbs) > 1 and verbs[1].tag == "Redirect":
        return spoken(sid, tell(verbs[1].text, params, token))
    return {"status": 0, "verbs": [verb.tag for verb in verbs[1:]], "body": ""}


def status(sid, status, more=None, token=None):
    params = created(sid)
    event = {"in-progress": "answered"}.get(status, status)
    asked = params["StatusCallbackEvent"] or ["completed"]
    ended = status in ("completed", "busy", "failed", "no-answer", "canceled")
    if ("completed" if ended else event) not in asked:
        raise ValueError(f"{event} was not asked for: {asked}")
    fields = call_params(sid, status) | {
        "CallbackSource": "call-progress-events",
        "SequenceNumber": "0",
        "Timestamp": formatdate(),
    }
    return tell(params["StatusCallback"], fields | (more or {}), token)


def receipt(sid, status, more=None, token=None):
    fields = {
        "AccountSid": OPTIONS.account,
        "ApiVersion": "2010-04-01",
        "From": created(sid).get("From", ""),
        "MessageSid": sid,
        "MessageStatus": status,
        "SmsSid": sid,
        "SmsStatus": status,
        "To": created(sid)["To"],
    }
    return tell(created(sid)["StatusCallback"], fields | (more or {}), token)


def inbound(path, to, body, sid=None, token=None, **who):
    sid = sid or "SM" + uuid.uuid4().hex
    fields = {
        "AccountSid": OPTIONS.account,
        "ApiVersion": "2010-04-01",
        "Body": body,
        "From": who["from"],
        "FromCountry": "US",
        "MessageSid": sid,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": to,
    }
    return tell(gateway["public"] + path, fields, token)


def tree(xml):
    def shown(element):
        return {
            "name": element.tag,
            "attributes": element.attrib,
            "text": (element.text or "").strip(),
            "tail": (element.tail or "").strip(),
            "verbs": [shown(child) for child in element],
        }

    return {"tree": shown(ElementTree.fromstring(xml.encode()))}


def twiml(verbs):
    """Each verb is [name, attributes, text or verbs]; attributes in Python's spelling."""
    response = VoiceResponse()
    for name, attributes, content in verbs:
        match name:
            case "Say":
                response.say(content, **attributes)
            case "Play":
                response.play(content, **attributes)
            case "Redirect":
                response.redirect(content, **attributes)
            case "Hangup":
                response.hangup()
            case "Gather":
                gather = Gather(**attributes)
                for _, how, said in content:
                    gather.say(said, **how)
                response.append(gather)
    return tree(str(response))


def set_gateway(public, at):
    gateway.update(public=public, at=at)
    return {}


def set_answers(to, **how):
    answers[to] = how
    return {}


def list_requests():
    with lock:
        return {"requests": list(requests)}


def list_violations():
    with lock:
        return {"violations": list(violations), "relayed": relayed}


COMMANDS = {
    "gateway": set_gateway,
    "front": front,
    "answers": set_answers,
    "requests": list_requests,
    "violations": list_violations,
    "answer": answer,
    "press": press,
    "status": status,
    "receipt": receipt,
    "inbound": inbound,
    "send": send,
    "tree": tree,
    "twiml": twiml,
}


def say(line):
    print(json.dumps(line), flush=True)


say({"port": serve(Api)})
# Whoever started it is gone at the end of its input.
for line in sys.stdin:
    command = json.loads(line)
    number, name = command.pop("id"), command.pop("do")
    try:
        say({"id": number} | COMMANDS[name](**command))
    except Exception as error:  # The test says what it was doing.
        say({"id": number, "error": f"{type(error).__name__}: {error}"})
