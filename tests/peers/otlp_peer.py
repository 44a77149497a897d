"""A receiver of OTLP by HTTP, for the end-to-end tests: decodes by the messages of OpenTelemetry's own package.

Prints {"port": …}. Each line of stdin is {"id": n, "do": …}:
  traces    answered {"id": n, "spans": […], "requests": […]}: the spans that were taken, each with its resource and
            the headers of its request, and how each request was answered
The first requests are answered by the arguments, in their order: a status, or a status and what Retry-After says, as
503:1. Nothing of these is taken. All others are answered 200.
"""

import http.server
import json
import sys
import threading

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

lock = threading.Lock()
answers = sys.argv[1:]
spans = []
requests = []


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            status, _, after = (answers.pop(0) if answers else "200").partition(":")
            requests.append({"status": int(status), "path": self.path})
        said = b""
        if status == "200":
            said = ExportTraceServiceResponse().SerializeToString()
            self.take(ExportTraceServiceRequest.FromString(body))
        self.send_response(int(status))
        if after:
            self.send_header("Retry-After", after)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def take(self, request):
        headers = {name.lower(): value for name, value in self.headers.items()}
        for of_resource in request.resource_spans:
            resource = attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    with lock:
                        spans.append(shown(span) | {"resource": resource, "headers": headers})

    def log_message(self, *_):
        pass


def attributes(all):
    return {it.key: value(it.value) for it in all}


def value(it):
    kind = it.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in it.array_value.values]
    return getattr(it, kind)


def shown(span):
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": span.status.code,
        "attributes": attributes(span.attributes),
        "events": [
            {"name": it.name, "at": it.time_unix_nano, "attributes": attributes(it.attributes)}
            for it in span.events
        ],
        "whole": json.dumps(MessageToDict(span)),
    }


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    with lock:
        answer = {"id": command["id"], "spans": spans, "requests": requests}
        print(json.dumps(answer), flush=True)
