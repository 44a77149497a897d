"""A carrier of texts that prints them, for docker/compose.yaml."""

import http.server
import itertools
import json


class Texts(http.server.BaseHTTPRequestHandler):
    """Takes every text."""

    numbers = itertools.count(1)

    def do_POST(self):
        """Answers with a number of its own, as carriers do."""
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(text["to"], text["text"])
        body = json.dumps({"id": f"text-{next(self.numbers)}"}).encode()
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8000), Texts).serve_forever()
