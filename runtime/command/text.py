"""What others wrote, for a terminal."""


def harmless(text: str) -> str:
    """Without control characters and those that turn or hide text, which could rewrite what a terminal shows."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
