"""Servers that misbehave in every way: each gives an answer, a failure with a reason or one error; none hangs."""

import gzip
import json
import socket
import threading
import time
from contextlib import suppress

import pytest

from avcurate.engines.base import Failure, ListSource, Reply
from avcurate.errors import UserError
from tests.engines.fake_server import Plan, serve
from tests.engines.test_server import engine_on, requests

HANG_S = 30.0


def good(body, **over):
    choices = [{"index": i, "message": {"content": f"answer {i}"}, "finish_reason": "stop"} for i in range(body["n"])]
    return {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 6}} | over


def says(reply_for):
    """A reply with status 200 and the body that ``reply_for`` returns for the request's body: an object, or bytes."""

    def fault(handler, body):
        reply = reply_for(body)
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return fault


def choice(**over):
    return says(lambda body: good(body, choices=[{**c, **over} for c in good(body)["choices"]]))


def status(code, **headers):
    def fault(handler, body):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    return fault


def raw(*pieces, pause=0.0):
    """Raw bytes with pauses in between, then a closed connection."""

    def fault(handler, body):
        handler.close_connection = True
        with suppress(OSError):
            for piece in pieces:
                handler.connection.sendall(piece)
                time.sleep(pause)
            handler.connection.shutdown(socket.SHUT_RDWR)

    return fault


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BEHAVIOURS = {
    "body drips": raw(HEAD + b"Content-Length: 500\r\n\r\n", *[b" "] * 100, pause=0.2),
    "headers drip": raw(b"HTTP/1.1 200 OK\r\nX-Filler: ", *[b"x"] * 500, pause=0.2),
    "body stalls": raw(HEAD + b"Content-Length: 500\r\n\r\n{", *[b""] * 40, pause=0.2),
    "nothing comes": raw(*[b""] * 40, pause=0.2),
    "endless body": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 1100),
    "longer than it says": raw(HEAD + b"Content-Length: 2\r\n\r\n{}{}{}{}"),
    "shorter than it says": raw(HEAD + b"Content-Length: 9000\r\n\r\n{}"),
    "bad chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n{}\r\n"),
    "compressed": raw(
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(b" " * 10**6)),
        gzip.compress(b" " * 10**6),
    ),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.0\r\n"),
    "endless header": raw(b"HTTP/1.1 200 OK\r\n", *[b"X-Filler: " + b"x" * 60000 + b"\r\n"] * 20),
    "a page": says(lambda b: b"<html><body>Bad gateway</body></html>"),
    "nothing": says(lambda b: b""),
    "null": says(lambda b: b"null"),
    "a list": says(lambda b: [good(b)]),
    "a number": says(lambda b: b"3"),
    "deep": says(lambda b: b"[" * 200_000),
    "not UTF-8": says(lambda b: b"\xff\xfe\x00" + json.dumps(good(b)).encode()),
    "huge number": says(lambda b: json.dumps(good(b)).replace(": 9", ": " + "9" * 5000).encode()),
    "no choices": says(lambda b: good(b, choices=[])),
    "choices null": says(lambda b: good(b, choices=None)),
    "choices of numbers": says(lambda b: good(b, choices=[1, 2])),
    "too many choices": says(lambda b: good(b, choices=good(b)["choices"] * 2)),
    "index twice": choice(index=0),
    "index negative": choice(index=-1),
    "index a word": choice(index="0"),
    "message null": choice(message=None),
    "content a number": choice(message={"content": 3}),
    "content a list": choice(message={"content": ["a"]}),
    "content null": choice(message={"content": None}),
    "lone surrogate": choice(message={"content": "\ud800"}),
    "no finish": choice(finish_reason=None),
    "usage null": says(lambda b: good(b, usage=None)),
    "usage a list": says(lambda b: good(b, usage=[1])),
    "tokens not a number": says(lambda b: good(b, usage={"prompt_tokens": float("nan"), "completion_tokens": 1})),
    "tokens endless": says(lambda b: good(b, usage={"prompt_tokens": 1, "completion_tokens": float("inf")})),
    "modality counts odd": says(
        lambda b: good(
            b,
            usage={"prompt_tokens": 9, "completion_tokens": 6, "prompt_tokens_details": {"multimodal_tokens": [3]}},
        )
    ),
    "busy, with a wish": status(429, Retry_After="0.1"),
    "busy, with a date": status(503, Retry_After="Wed, 21 Oct 2115 07:28:00 GMT"),
    "busy, with a negative wish": status(503, Retry_After="-5"),
    "busy, for an endless time": status(503, Retry_After="inf"),
    "not allowed": status(401),
    "not there": status(404),
    "elsewhere": status(302, Location="http://192.0.2.1/v1/chat/completions"),
}


@pytest.mark.parametrize("behaviour", list(BEHAVIOURS))
def test_a_bad_answer_fails_at_most_its_own_request(behaviour):
    ended = []

    def work():
        with serve(Plan(BEHAVIOURS[behaviour])) as url:
            engine = engine_on(url)
            engine.limit = 1.0
            try:
                ended.extend(engine.generate(ListSource(requests(3))))
            except Exception as e:
                ended.append(e)
            finally:
                engine.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HANG_S)
    assert not thread.is_alive(), "it hangs"
    assert [type(r) for r in ended if not isinstance(r, (Reply, Failure))] == []
    assert {r.key for r in ended} == {"r0", "r1", "r2"}
    failed = [r for r in ended if isinstance(r, Failure)]
    assert len(failed) <= 1 and all(r.reason and r.message for r in failed)
    for reply in (r for r in ended if isinstance(r, Reply)):
        assert all(isinstance(r.text, str) and r.text.encode() is not None for r in reply.responses)


def test_there_are_enough_of_them(capsys):
    with capsys.disabled():
        print(f"\n{len(BEHAVIOURS)} behaviours of servers")
    assert len(BEHAVIOURS) >= 25


def test_a_server_that_always_answers_nonsense_gives_failures_with_reasons():
    with serve(Plan(*[says(lambda b: b"null")] * 9)) as url:
        engine = engine_on(url)
        results = list(engine.generate(ListSource(requests(3))))
        engine.close()
    assert [type(r) for r in results] == [Failure] * 3


def test_unreadable_model_lists_give_one_error(monkeypatch):
    from tests.engines import fake_server

    for answer in ([], {"data": None}, {"data": [3]}, {"data": [{"name": "x"}]}, {"data": {"id": "tiny"}}, None):
        original = fake_server.handler_of

        def odd(plan, answer=answer, original=original):
            handler = original(plan)
            handler.do_GET = lambda self: self.answer(200, answer)
            return handler

        monkeypatch.setattr(fake_server, "handler_of", odd)
        with serve(Plan()) as url, pytest.raises(UserError):
            engine_on(url)
        monkeypatch.setattr(fake_server, "handler_of", original)
