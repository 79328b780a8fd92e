"""Functions that a client offers to the programs it sends: schemas come from type hints, through pydantic."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, overload

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

from runtime.rpc import runtime_pb2

type AnyFunction = Callable[..., Any]


class FunctionFailedError(Exception):
    """Raise it in an offered function to say more than what happened; `details` is JSON for the program."""

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after_s: float = 0.0, details: Any = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.details = details


@dataclass(frozen=True, slots=True)
class Inverse:
    """What undoes a call of a function: another one of the same offer, by its name.

    `arguments`: its own by name, as JSON Pointers into `/arguments` and `/result` of the call to undo.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)


class Offer:
    """Functions to offer, as `codemode.<upstream>.<name>(...)`.

    `@offer.function` takes plain and async functions; plain ones are run in threads. Every parameter and, if it is to
    be declared, the result needs a type hint that pydantic knows; the docstring is what a model reads.
    """

    def __init__(self, upstream: str = "") -> None:
        self.upstream = upstream
        self._functions: dict[str, _Function] = {}

    @overload
    def function[F: AnyFunction](self, function: F, /) -> F: ...

    @overload
    def function(
        self, function: None = None, /, *, name: str = "", read_only: bool = False, inverse: Inverse | None = None
    ) -> Callable[[AnyFunction], AnyFunction]: ...

    def function(
        self,
        function: AnyFunction | None = None,
        /,
        *,
        name: str = "",
        read_only: bool = False,
        inverse: Inverse | None = None,
    ) -> Any:
        """Offer a function; returns it unchanged. Raises TypeError for one whose arguments cannot be described.

        The service checks `inverse` when the session is opened.
        """

        def offered(given: AnyFunction) -> AnyFunction:
            made = _Function(given, name or given.__name__, read_only=read_only)
            if inverse is not None:
                made.message.inverse.name = inverse.name
                made.message.inverse.arguments.update(inverse.arguments)
            if made.message.name in self._functions:
                raise TypeError(f"{made.message.name} is offered twice")
            self._functions[made.message.name] = made
            return given

        return offered if function is None else offered(function)

    def message(self) -> runtime_pb2.OfferFunctions:
        """As the API wants it."""
        functions = [each.message for each in self._functions.values()]
        return runtime_pb2.OfferFunctions(upstream=self.upstream, functions=functions)

    async def answer(self, call: runtime_pb2.FunctionCall) -> runtime_pb2.FunctionAnswer:
        """Run the function that is called. Its failure is the answer's."""
        answer = runtime_pb2.FunctionAnswer(call_id=call.call_id)
        try:
            answer.result_json = await self._functions[call.name].call(call.arguments_json)
        except FunctionFailedError as error:
            answer.error.CopyFrom(_failure(str(error), error))
        except Exception as error:  # noqa: BLE001 - whatever the function raises is its answer
            answer.error.message = f"{type(error).__name__}: {error}"
        return answer


class _Function:
    def __init__(self, function: AnyFunction, name: str, *, read_only: bool) -> None:
        positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL
        if any(parameter.kind in positional for parameter in inspect.signature(function).parameters.values()):
            raise TypeError(f"{name}: arguments are passed by name; it has positional-only ones")
        self._async = inspect.iscoroutinefunction(function)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", function))
            returns = inspect.signature(function, eval_str=True).return_annotation
            self._result: TypeAdapter[Any] = TypeAdapter(Any if returns is inspect.Signature.empty else returns)
        except PydanticSchemaGenerationError as error:
            raise TypeError(f"{name}: {error.message}") from None
        declared = returns not in (inspect.Signature.empty, Any)
        schema = self._result.json_schema(mode="serialization") if declared else None
        self.message = runtime_pb2.Function(
            name=name,
            description=inspect.getdoc(function) or "",
            input_schema_json=json.dumps(self._adapter.json_schema()),
            output_schema_json="" if schema is None else json.dumps(schema),
            read_only=read_only,
        )

    async def call(self, arguments_json: str) -> str:
        values = ArgsKwargs((), json.loads(arguments_json))
        try:
            if self._async:
                value = await self._adapter.validate_python(values)
            else:
                value = await asyncio.to_thread(self._adapter.validate_python, values)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
            raise FunctionFailedError(said) from None
        return self._result.dump_json(value).decode()


def _failure(message: str, error: FunctionFailedError) -> runtime_pb2.FunctionError:
    return runtime_pb2.FunctionError(
        message=message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        details_json="" if error.details is None else json.dumps(error.details, default=str),
    )
