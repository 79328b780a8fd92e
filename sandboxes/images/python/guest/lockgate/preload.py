"""Modules imported before the snapshot, because programs use them often: an import then costs nothing."""

import codecs
import importlib
from collections.abc import Iterable

NAMES = """
abc argparse array ast asyncio base64 bisect calendar cmath collections collections.abc colorsys
concurrent.futures.thread configparser contextlib contextvars copy csv dataclasses datetime decimal
difflib email.message email.utils enum errno fnmatch fractions functools glob gzip hashlib heapq
hmac html html.parser http http.client inspect io ipaddress itertools json keyword linecache locale
logging math mimetypes numbers operator os pathlib pickle platform pprint queue random re secrets
shlex shutil signal socket sqlite3 statistics string struct subprocess tempfile textwrap threading
time timeit traceback types typing unicodedata urllib.error urllib.parse urllib.request uuid
warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo
"""


# Codecs are found by importing them, at their first use.
CODECS = (
    "ascii latin-1 cp1252 utf-8-sig utf-16 utf-16-le utf-32 idna punycode unicode_escape raw_unicode_escape hex base64"
)


def load_codecs() -> None:
    """Have the codecs found."""
    for codec in CODECS.split():
        codecs.lookup(codec)


def load(names: Iterable[str]) -> None:
    """Import them all; a missing one is a broken image."""
    for name in names:
        importlib.import_module(name)
