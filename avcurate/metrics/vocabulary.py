"""Objects named in a text, on one vocabulary: COCO's 80 classes, dataset classes and synonyms.

A *node* is one object; every synonym leads to its node. In a text the longest name wins ("hot dog" is not a
dog), plurals are lemmatised, and a word such as "baby" before an animal or a vehicle, or "orange" before
another object, only qualifies it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from avcurate.errors import UserError

WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
QUALIFIERS = frozenset({"baby", "adult", "male", "female", "passenger", "police", "toy", "mother", "child"})
QUALIFIED = frozenset({"animal", "vehicle"})
MATERIALS = frozenset({"orange", "glass", "paper", "wood", "stone", "rock"})


@dataclass(frozen=True)
class Mention:
    """One object named in a text: its node, the words that name it, and where (characters)."""

    node: str
    words: str
    start: int
    end: int


@lru_cache(maxsize=1 << 16)
def lemma(word: str) -> str:
    """Singular of an English noun; other words as they are.

    Raises:
        UserError: the package simplemma is not installed.
    """
    if len(word) < 4 or not word.endswith(("s", "i", "a", "n", "e")):
        return word
    singular = _lemmatiser()(word, lang="en")
    # only plurals are wanted: a verb form such as "barking" must not become a noun
    return singular if singular and singular[0] == word[0] and len(singular) <= len(word) else word


@cache
def _lemmatiser() -> Callable[..., str]:
    try:
        import simplemma
    except ImportError:
        raise UserError(
            "reading objects in texts needs simplemma.", "Install it: pip install 'avcurate[objects]'."
        ) from None
    lemmatise: Callable[..., str] = simplemma.lemmatize
    return lemmatise


class Vocabulary:
    """Names of objects. Build it with :func:`load_vocabulary`."""

    def __init__(self, lines: Iterable[str], where: str) -> None:
        self.nodes: dict[str, str] = {}
        self.coco: list[str] = []
        self._parents: dict[str, str] = {}
        self._names: dict[tuple[str, ...], str] = {}
        group = ""
        for number, raw in enumerate(lines, 1):
            line = raw.split("#")[0].strip()
            if line.startswith("["):
                group = line.strip("[]")
            elif line:
                self._add(line, group, f"{where} line {number}")
        unknown = set(self._parents.values()) - set(self.nodes)
        if unknown:
            raise UserError(
                f"{where}: {sorted(unknown)[0]!r} is used as a kind but is not a node.", "Give it a line of its own."
            )
        self.classes: dict[str, frozenset[str]] = {}
        self.longest = max((len(n) for n in self._names), default=1)

    def _add(self, line: str, group: str, where: str) -> None:
        head, colon, names = line.partition(":")
        if not colon:
            raise UserError(f"{where}: {line!r} has no colon.", "A line is `node: name, name`.")
        node, _, parent = (p.strip() for p in head.partition("<"))
        if node.endswith("*"):
            node = node.rstrip("*")
            self.coco.append(node)
        if parent:
            self._parents[node] = parent
        self.nodes[node] = group
        for name in [node, *filter(None, (n.strip() for n in names.split(",")))]:
            key = tuple(_lemmas(name)[0])
            before = self._names.setdefault(key, node)
            if before != node:
                raise UserError(f"{where}: {name!r} already means {before!r}.", "Give each name one node.")

    def read_classes(self, lines: Iterable[str], where: str) -> None:
        """Objects of classes whose names do not say them: lines ``class: node, node``.

        Raises:
            UserError: a node is unknown, or a class is listed twice with different objects.
        """
        for number, raw in enumerate(lines, 1):
            if raw.startswith("#") or not raw.strip():
                continue
            name, _, listed = raw.rpartition(":")
            nodes = frozenset(filter(None, (n.strip() for n in listed.split(","))))
            if unknown := nodes - set(self.nodes):
                raise UserError(f"{where} line {number}: {sorted(unknown)[0]!r} is not a node.", "See objects.txt.")
            if self.classes.setdefault(_plain(name), nodes) != nodes:
                raise UserError(f"{where} line {number}: {name!r} is listed twice.", "Keep one.")

    def mentions(self, text: str) -> list[Mention]:
        """Objects named in a text, in order; one entry per mention."""
        # letter by letter: a few letters grow when lowered, and offsets must stay those of the text
        text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        lemmas, spans = _lemmas(text)
        mentions: list[Mention] = []
        at = 0
        while at < len(lemmas):
            for size in range(min(self.longest, len(lemmas) - at), 0, -1):
                node = self._names.get(tuple(lemmas[at : at + size]))
                if node is not None:
                    start, end = spans[at][0], spans[at + size - 1][1]
                    self._take(mentions, Mention(node, text[start:end], start, end), text)
                    at += size
                    break
            else:
                at += 1
        return mentions

    def _take(self, mentions: list[Mention], mention: Mention, text: str) -> None:
        last = mentions[-1] if mentions else None
        if last is not None and text[last.end : mention.start].strip(" -") == "":
            qualified = last.words in QUALIFIERS and self.nodes[mention.node] in QUALIFIED
            if qualified or last.words in MATERIALS:
                mentions.pop()
        mentions.append(mention)

    def objects(self, text: str) -> frozenset[str]:
        """Distinct nodes named in a text."""
        return frozenset(m.node for m in self.mentions(text))

    def objects_of_class(self, name: str) -> frozenset[str]:
        """Nodes that a class of VGGSound, AudioSet or another list shows; empty where it is a sound without one."""
        if name in self.nodes:
            return frozenset({name})
        nodes = self.classes.get(_plain(name))
        return self.objects(name) if nodes is None else nodes

    def supported(self, node: str, truth: frozenset[str]) -> bool:
        """Whether a node is among the true objects, itself or as what one of them is a kind of."""
        return node in truth or any(self.is_a(t, node) for t in truth)

    def is_a(self, node: str, kind: str) -> bool:
        """Whether a node is a kind of another, over any number of steps."""
        while node in self._parents:
            node = self._parents[node]
            if node == kind:
                return True
        return False


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def _lemmas(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    words = list(WORD.finditer(text))
    return [lemma(w.group().removesuffix("'s")) for w in words], [w.span() for w in words]


@cache
def load_vocabulary() -> Vocabulary:
    """The vocabulary that ships with avcurate."""
    folder = resources.files("avcurate.vocabulary")
    vocabulary = Vocabulary(folder.joinpath("objects.txt").read_text("utf-8").splitlines(), "objects.txt")
    vocabulary.read_classes(folder.joinpath("classes.txt").read_text("utf-8").splitlines(), "classes.txt")
    return vocabulary
