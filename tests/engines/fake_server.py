"""An OpenAI-compatible server that misbehaves on demand: for what a healthy server never does."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Plan:
    """What the server does with the next requests: statuses, ``cut``, ``half``, ``slow``, ``ok``, or a function."""

    def __init__(self, *faults, says=None, model="tiny"):
        self.faults, self.model = list(faults), model
        self.says = says or (lambda body, i: f"answer {body['seed'] + i}")
        self.lock = threading.Lock()
        self.served = 0
        self.bodies = []

    def next(self, body):
        with self.lock:
            self.bodies.append(body)
            return self.faults.pop(0) if self.faults else "ok"


def handler_of(plan):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            self.answer(200, {"data": [{"id": plan.model}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fault = plan.next(body)
            if callable(fault):
                return fault(self, body)
            if isinstance(fault, int):
                return self.answer(fault, {"error": {"message": f"status {fault} on demand"}})
            if fault == "cut":
                # closing alone sends nothing while the handler's files hold the socket
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            if fault == "slow":
                time.sleep(1.5)
            if fault == "half":
                data = b'{"choices": [{"ind'
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return self.wfile.write(data)
            if fault == "odd":
                return self.answer(200, {"surprise": 1})
            plan.served += 1
            if self.path.endswith("/embeddings"):
                data = [{"index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(body["input"])]
                return self.answer(200, {"data": data[::-1]})
            choices = [
                {"index": i, "message": {"content": plan.says(body, i)}, "finish_reason": "stop"}
                for i in range(body["n"])
            ]
            usage = {"prompt_tokens": 9, "completion_tokens": 3 * body["n"]}
            return self.answer(200, {"choices": choices[::-1], "usage": usage})

    return Handler


@contextmanager
def serve(plan):
    """Serve on a free port; yields the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(plan))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
