"""TypeScript, sent to a real cell: types erased, positions kept."""

import json

import grpc
import pytest

from runtime.client import Client
from runtime.isolate.shipped import TYPE_ERASER, wasm_path
from runtime.rpc import runtime_pb2 as pb
from tests.service.programs import run as run_under
from tests.service.programs import texts

PROGRAM = """\
interface Order { id: number; lines: Array<{ price: number; count?: number }> }
type Totals = Record<string, number>;

const total = (order: Order): number =>
  order.lines.reduce((sum: number, { price, count }) => sum + price * (count ?? 1), 0);

async function main(orders: readonly Order[]): Promise<Totals> {
  const totals = {} as Totals;
  for (const order of orders) totals[String(order.id)] = total(order)!;
  return totals;
}
return await main(inputs as Order[]);
"""
ORDERS = [{"id": 1, "lines": [{"price": 2, "count": 3}]}, {"id": 2, "lines": [{"price": 5}]}]


async def run(client, code, language, **options):
    return await run_under(client, code, language, profile="standard", **options)


@pytest.mark.parametrize("asked", ["typescript", "javascript", ""])
async def test_types_are_erased(client: Client, asked):
    execution = await run(client, PROGRAM, asked, inputs=ORDERS)
    assert (execution.status, execution.result_json) == (pb.STATUS_SUCCEEDED, '{"1":6,"2":5}'), execution.error
    assert execution.language == pb.LANGUAGE_TYPESCRIPT
    record = json.loads(wasm_path(TYPE_ERASER).with_suffix(".json").read_bytes())
    assert execution.parser_digest == f"sha256:{record['digest']}"


async def test_no_parser_is_named_where_none_may_be_used(client: Client):
    assert not (await run(client, "1", "javascript")).parser_digest
    assert not (await run(client, "1", "python")).parser_digest
    assert (await run(client, "1", "")).parser_digest


async def test_what_nobody_called_typescript_runs_once_it_did_not_parse_as_javascript(client: Client):
    # A generic call is nothing that can be told from JavaScript by its looks.
    execution = await run(client, "const id = <T,>(x: T) => x\nconsole.log('once')\nreturn id<number>(42)", "")
    assert (execution.status, execution.result_json) == (pb.STATUS_SUCCEEDED, "42"), execution.error
    assert texts(execution) == ["once"]


async def test_an_error_is_where_it_was_written(client: Client):
    execution = await run(client, "type A = string;\nconst a: any = null; a.b", "typescript")
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    error = execution.error
    assert (error.name, error.line, error.source_line) == ("TypeError", 2, "const a: any = null; a.b")


@pytest.mark.parametrize("asked", ["typescript", ""])
async def test_enum_is_refused_by_name(client: Client, asked):
    execution = await run(client, "enum Color { Red }\nreturn Color.Red", asked)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert (execution.error.name, execution.error.line) == ("SyntaxError", 1)
    assert "enum is not supported, because types are erased here, not compiled" in execution.error.message


async def test_a_syntax_error_is_quickjs_own_where_javascript_was_meant(client: Client):
    execution = await run(client, "const a = ;", "")
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert (execution.error.name, execution.error.line) == ("SyntaxError", 1)


@pytest.mark.parametrize("code", ["(" * 50_000, "let a: " + "Array<" * 20_000, "{}" * 60_000], ids=["(", "<", "{}"])
async def test_hostile_source_ends_and_the_next_program_runs(client: Client, code):
    execution = await run(client, code, "typescript")
    assert execution.status in {pb.STATUS_PROGRAM_ERROR, pb.STATUS_SUCCEEDED}
    assert (await run(client, "return 1 as number", "typescript")).result_json == "1"


async def test_parsing_counts_towards_the_programs_own_limits(client: Client):
    execution = await run(client, "a?(b):c=>" * 40, "typescript", limits={"cpu_ms": 50})
    assert execution.status == pb.STATUS_LIMIT_CPU


async def test_a_profile_without_typescript_refuses_it(client: Client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_under(client, "type A = 1", "typescript", profile="tests")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert 'not "typescript"' in caught.value.details()
