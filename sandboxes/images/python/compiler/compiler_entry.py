"""Build time only: compiles the standard library's sources with the very CPython that will load them."""

# ruff: noqa: INP001 (componentize-py wants a module by its plain name)

import base64
import json
import marshal

import wit_world


class WitWorld(wit_world.WitWorld):
    """The exports of `compiler.wit`."""

    def compile(self, request: str) -> str:
        """Compile one module; the file name in angle brackets keeps tracebacks from looking for a file."""
        module = json.loads(request)
        try:
            code = compile(module["source"], f"<{module['name']}>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            return f"!{error}"
        return base64.b64encode(marshal.dumps(code)).decode()
