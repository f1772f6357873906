"""Ask an engine a list of requests, outside any run."""

from collections import deque

from avcurate.engines.base import Reply


class ListSource:
    """A source that gives a fixed list."""

    def __init__(self, requests):
        self.waiting = deque(requests)

    def take(self, wait):
        return self.waiting.popleft() if self.waiting else None


def ask(engine, requests):
    """Replies by key; every one must be a reply."""
    replies = list(engine.generate(ListSource(requests)))
    assert all(isinstance(r, Reply) for r in replies), [r for r in replies if not isinstance(r, Reply)]
    return {r.key: r for r in replies}
