"""An engine that sleeps instead of computing, in slots as a serving engine does, and can take its process with it."""

import os
import random
import time
from pathlib import Path

from avcurate.engines.base import Engine, Perception, Reply, Response


class Sleeper(Engine):
    """Answers depend on the request's seed alone.

    Args:
        poison: text of a question that ends the process; its prompt is written to ``record`` first.
        record: a file that gets a line for every request that is answered.
        step_s: length of a step; slots: requests answered at a time.
    """

    name = "sleeper"
    perceives = False

    def __init__(self, record="", poison="", step_s=0.004, slots=32):
        self.record, self.poison, self.step_s, self.slots = str(record), poison, step_s, slots

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def perceive(self, request):
        return Perception(-1, -1, -1)

    def generate(self, source):
        flying, left = {}, {}
        while True:
            while len(flying) < self.slots and (request := source.take(wait=not flying)) is not None:
                if self.poison and self.poison in request.prompt:
                    os._exit(9)
                flying[request.key] = request
                left[request.key] = random.Random(request.seed).randint(1, 8)
            if not flying:
                return
            time.sleep(self.step_s)
            for key in list(flying):
                left[key] -= 1
                if left[key] <= 0:
                    yield self.answer(flying.pop(key))

    def answer(self, request):
        if self.record:
            with Path(self.record).open("a") as f:
                f.write(request.key + "\n")
        rng = random.Random(request.seed)
        texts = [f"<think>It looks {rng.random():.3f}.</think><answer>red</answer>" for _ in range(request.n)]
        responses = tuple(Response(request.seed + i, t, "stop", 8) for i, t in enumerate(texts))
        return Reply(request.key, responses, -1, -1, -1)
