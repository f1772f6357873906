"""A megabyte of worst-case text for each parser and reward, in a child that is killed if one backtracks."""

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
    "from avcurate.train.rewards import *; structure(t); think_format(t); answer_accuracy(t, 'red', ('red', 'blue')); "
    "preference_and_structure(t, 'Audio', 'halves')",
]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_parser_or_reward_backtracks(shape):
    work = "\n".join([f"SIZE = {SIZE}", f"t = {SHAPES[shape]}", *READERS])
    subprocess.run([sys.executable, "-c", work], check=True, timeout=STOPPED_AFTER_S)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_reader_of_traces_and_speech_backtracks(shape):
    pytest.importorskip("torch")
    readers = [
        "from avcurate.maam.traces import *; masked_as(t); ids = list(t.encode())[: 1 << 18]",
        "text, ends = offsets_of(ids, lambda x: bytes(x).decode('utf-8', 'replace')); decoded_traces(text, ends, 0)",
        "from avcurate.train.consistency import *; split_response(t); said_yes(t)",
    ]
    work = "\n".join([f"SIZE = {SIZE}", f"t = {SHAPES[shape]}", *readers])
    subprocess.run([sys.executable, "-c", work], check=True, timeout=STOPPED_AFTER_S)
