"""Ways to damage a file: each maps its bytes to others; ``None`` removes it."""

DAMAGES = {
    "half": lambda b: b[: len(b) // 2],
    "empty": lambda b: b"",
    "end changed": lambda b: b[:-9] + b"\x00damaged\x00",
    "middle changed": lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 0x55]) + b[len(b) // 2 + 1 :] if b else b"x",
    "gone": None,
    "a list": lambda b: b"[]",
    "an object": lambda b: b"{}",
    "a number": lambda b: b"3",
    "zeros": lambda b: b"\x00" * len(b),
    "not UTF-8": lambda b: b"\xff\xfe" + b,
}
