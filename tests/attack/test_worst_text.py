"""A megabyte of worst-case text for each parser and reward, in a child that an alarm ends if one backtracks."""

import signal
import subprocess
import sys

import pytest

SIZE = 1 << 20
# far beyond what linear time takes, far below what a quadratic pass over a megabyte would
STOPPED_AFTER_S = 120

SHAPES = {
    "open tags": "'<think>' * (SIZE // 7)",
    "open answers": "'<answer>' * (SIZE // 8)",
    "closed tags": "'</think>' * (SIZE // 8)",
    "half a format": "'<think>x</think> <answer>' + 'y ' * (SIZE // 2)",
    "format again and again": "'<think>a</think><answer>b</answer>' * (SIZE // 34) + '!'",
    "parts again and again": "'<mod>Audio</mod><v>x</v><a>y</a><sum>z</sum>' * (SIZE // 44)",
    "reasoning without end": "'<reasoning>' + ' ' * SIZE",
    "white space": "'answer' + ' ' * SIZE + 'x'",
    "quotes": "'\"' * SIZE + 'x'",
    "square brackets": "'[' * (SIZE // 2) + ']' * (SIZE // 2)",
    "stars": "'\\n* ' * (SIZE // 3) + '*' * 99",
    "brackets": "'answer is ' + '((' * (SIZE // 2)",
    "answers": "'the answer is ' * (SIZE // 14)",
    "noes": "'no ' * (SIZE // 3)",
    "no and nothing": "('no' + ' ' * 1000) * (SIZE // 1002)",
    "braces": "'{' * SIZE",
    "nested objects": "'{\"a\":' * (SIZE // 5)",
    "wide nested objects": "'{\"a\":[' * 200 + '1,' * (SIZE // 2)",
    "dashes": "'- a or b, ' * (SIZE // 10)",
    "angle brackets": "'<' * SIZE",
    "a long tag": "'<' + 'a' * SIZE",
    "letters": "'A) ' * (SIZE // 3)",
    "commas": "',' * SIZE",
    "the": "'the ' * (SIZE // 4)",
    "lines": "'\\n' * SIZE",
    "hyphens": "'a-' * (SIZE // 2)",
}
READERS = [
    "from avcurate.metrics.answers import *; parse_answer(t, ('red', 'blue'))",
    "from avcurate.metrics.answers import *; parse_answer(t, ()); reasoning_text(t); yes_or_no(t); fold(t)",
    "from avcurate.metrics.evaluation import read_answer; read_answer(t, ('Yes', 'No'))",
    "from avcurate.metrics.pem import said_pem; said_pem(t)",
    "from avcurate.metrics.judging import parse_judgement; parse_judgement(t)",
    "from avcurate.metrics.aloha import parse_objects; parse_objects(t)",
    "from avcurate.metrics.grading import *; read_rating(t); read_same(t)",
    "from avcurate.metrics.instructions import *; [follows(t, {'instruction': r, 'keyword': 'a'}) for r in RULES]",
    "from avcurate.train.rewards import *; structure(t); think_format(t); answer_accuracy(t, 'red', ('red', 'blue')); "
    "preference_and_structure(t, 'Audio', 'halves')",
]


TRACES = [
    "from avcurate.maam.traces import *; masked_as(t); ids = list(t.encode())[: 1 << 18]",
    "text, ends = offsets_of(ids, lambda x: bytes(x).decode('utf-8', 'replace')); decoded_traces(text, ends, 0)",
    "from avcurate.train.consistency import *; split_response(t); said_yes(t)",
]
# the alarm ends the process even inside a regular expression
CHILD = """
import signal, sys
shapes, readers, size, limit = eval(sys.stdin.read())
for name, shape in shapes.items():
    signal.alarm(limit)
    t = eval(shape, {"SIZE": size})
    for reader in readers:
        exec(reader)
    signal.alarm(0)
    print(name, flush=True)
"""


def finished(readers):
    """Shapes that all readers get through in time; a child goes on after one that was stopped."""
    left, done = dict(SHAPES), set()
    while left:
        asked = repr((left, readers, SIZE, STOPPED_AFTER_S))
        child = subprocess.run([sys.executable, "-c", CHILD], input=asked, capture_output=True, text=True)
        got = child.stdout.splitlines()
        done |= set(got)
        # the one it died in is not tried again
        left = dict(list(left.items())[len(got) + 1 :])
        assert child.returncode in (0, -signal.SIGALRM), child.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def parsed():
    return finished(READERS)


@pytest.fixture(scope="module")
def traced():
    pytest.importorskip("torch")
    return finished(TRACES)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_parser_or_reward_backtracks(parsed, shape):
    assert shape in parsed


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_reader_of_traces_and_speech_backtracks(traced, shape):
    assert shape in traced


def test_a_shape_that_backtracks_is_noticed_and_the_others_are_still_tried(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "STOPPED_AFTER_S", 1)
    looping = ["import re; t.startswith('<a') and re.match('(a+)+$', 'a' * 40 + 'b')"]
    assert finished(looping) == SHAPES.keys() - {"open answers", "a long tag"}
