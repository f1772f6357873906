"""Ask an engine a list of requests, outside any run."""

from avcurate.engines.base import ListSource, Reply


def ask(engine, requests):
    """Replies by key; every one must be a reply."""
    replies = list(engine.generate(ListSource(requests)))
    assert all(isinstance(r, Reply) for r in replies), [r for r in replies if not isinstance(r, Reply)]
    return {r.key: r for r in replies}
