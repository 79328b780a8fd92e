"""How to write programs, in full: told on demand, because what is told to every model costs every model."""

from typing import Final

NAME: Final = "how-to"
URI: Final = "lockgate://how-to"

TEXT: Final = """\
# Writing programs for Lockgate

1. Find tools: search({query: "list issues"}) answers with signatures; search({describe: ["github.issuesGet"]}) with
   full types. Skip this where execute's description declares the tools.
2. Send one program to execute that makes every call the task needs. It runs in a fresh sandbox: no files, no packages,
   nothing left from the program before. Only what it returns comes back, so filter, count and combine inside.

## JavaScript (TypeScript's types are erased)

Two calls after each other:
    const issue = await codemode.github.issuesGet({owner: "a", repo: "b", issue_number: 1});
    const user = await codemode.github.usersGetByUsername({username: issue.user.login});
    return {title: issue.title, author: user.name};

Many at once, each failure kept apart:
    const done = await Promise.allSettled(inputs.numbers.map(
      (n) => codemode.github.issuesGet({owner: "a", repo: "b", issue_number: n})));
    return done.map((one) => one.status === "fulfilled" ? one.value.title : one.reason.message);

## Python

Arguments are keywords; answers are dicts and lists:
    issue = await codemode.github.issuesGet(owner="a", repo="b", issue_number=1)
    return issue["title"]

Many at once, each failure kept apart:
    import asyncio
    calls = [codemode.github.issuesGet(owner="a", repo="b", issue_number=n) for n in inputs["numbers"]]
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [str(one) if isinstance(one, Exception) else one["title"] for one in done]

## What else there is

- `inputs`: the JSON given beside the program. Put data there instead of pasting it into the program.
- The value: of `return`, or of the last expression. It must be JSON; undefined and None become null.
- console.log and print lines are shown with the answer and streamed while the program runs.
- A failed call throws a ToolError: error.code, .status, .message, .retryable, .retry_after, .details. What had
  succeeded before is not undone: catch errors where earlier results must survive.
- Pages: for await (const page of codemode.github.issuesList.pages({...})), async for page in ...pages(...).
- The whole response: codemode.github.issuesList.response({...}) has data, status, headers, links, next, and
  related: {link: {tool, arguments}} where the description of the tool says that it leads on.
- An MCP upstream's tool that answers with text gives a string, with JSON text its value, with several blocks an array;
  images and audio are {type, data, mimeType}, data in base64.
- fetch(url, {...}) where the profile allows the address. Credentials are added outside; a program never sees one.
- A large result is cut and says so; the next program reads the whole: await results["res_..."], or a part of it:
  results.get("res_...", {path: "/items", offset: 100, limit: 10}) / results.get("res_...", "/items", 100, 10).
- await emit("chart.png", bytes, "image/png") gives a file or an image beside the result.
- await store.set("key", value), await store.get("key"): kept for your next programs.
- A tool marked [needs approval] waits for a human: the program pauses, and goes on after the decision. [not allowed]:
  this profile refuses every call of it.
- The catalog as data: await codemode.tools(), codemode.search(query), codemode.describe(names).
- Limits end a program by name (cpu_ms, wall_ms, memory_bytes, host_calls, result_bytes, ...): do less in one program,
  or return less. After a failure the answer lists the calls that may have changed something.
- profile: another sandbox profile, by name, if the operator offers one.
"""
