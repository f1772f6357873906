"""A plain OpenAI-compatible endpoint of our own over the embedded model: it refuses every field it does not know."""

import base64
import io
import json
import threading
import wave
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from avcurate.engines.base import Failure, ListSource, Request, Sampling

FIELDS = {"model", "messages", "temperature", "top_p", "max_tokens", "n", "seed", "response_format"}
PARTS = {"text": {"text"}, "image_url": {"image_url"}, "input_audio": {"input_audio"}}


class Refused(ValueError):
    pass


def read(body, takes):
    """The request as an engine takes it."""
    unknown = set(body) - (FIELDS & takes)
    if unknown:
        raise Refused(f"Unrecognized request argument supplied: {sorted(unknown)[0]}")
    (message,) = body["messages"]
    frames, audio, texts = [], None, []
    for part in message["content"]:
        if set(part) - {"type"} != PARTS[part["type"]]:
            raise Refused(f"odd content part {part['type']}")
        if part["type"] == "text":
            texts.append(part["text"])
        elif part["type"] == "input_audio":
            if part["input_audio"]["format"] != "wav":
                raise Refused("only wav")
            with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as f:
                audio = np.frombuffer(f.readframes(f.getnframes()), "<i2").astype(np.float32) / 32767
        else:
            from PIL import Image

            kind, data = part["image_url"]["url"].split(";base64,")
            if kind != "data:image/jpeg" or part["image_url"]["detail"] not in ("auto", "low", "high"):
                raise Refused("not an image")
            frames.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")))
    sampling = Sampling(body["temperature"], body["top_p"], 0, body["max_tokens"])
    picture = np.stack(frames) if frames else None
    return Request("r", texts[-1], audio, picture, 2.0, body.get("n", 1), body.get("seed", 0), sampling)


@contextmanager
def endpoint(engine, name="tiny-omni", *, says=None, cheat=None, lists=True, takes=frozenset(FIELDS), key=""):
    """Serve an engine; ``cheat`` changes a request before it is answered, ``says`` is the name it answers under."""
    lock, bodies = threading.Lock(), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def send(self, status, value):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            if key and self.headers.get("Authorization") != f"Bearer {key}":
                return self.send(401, {"error": {"message": "no key"}})
            return self.send(200, {"data": [{"id": name}]}) if lists else self.send(404, {})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body)
            try:
                request = read(body, set(takes))
            except (Refused, KeyError, ValueError) as e:
                return self.send(400, {"error": {"message": str(e)}})
            with lock:
                (reply,) = engine.generate(ListSource([cheat(request) if cheat else request]))
            if isinstance(reply, Failure):
                return self.send(500, {"error": {"message": reply.message}})
            choices = [
                {"index": i, "message": {"role": "assistant", "content": r.text}, "finish_reason": r.finish_reason}
                for i, r in enumerate(reply.responses)
            ]
            return self.send(200, {"model": says or f"{name}-2026-01-01", "choices": choices})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        server.server_close()
