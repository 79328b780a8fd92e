// codemode.<upstream>.<tool>(arguments): two levels of proxies, made when first named and kept. Names are not checked here:
// the catalog is the host's, and a tool that is not there is an error of the call. Every tool has .response(arguments), the
// value with what came beside it, and .pages(arguments), which walks pages. codemode.tools, .search and .describe ask the
// catalog itself.
(lockgate) => {
  "use strict";
  const { ToolError, expose, here, primordials, submit } = lockgate;
  const { Promise, Proxy, Symbol, TypeError, apply, defineProperty, isArray, parse, startsWith, stringify, then } = primordials;
  const TOOL = 1;
  const { asyncIterator, toPrimitive, toStringTag } = Symbol;

  const kindOf = (value) => (value === null ? "null" : isArray(value) ? "an array" : typeof value === "function" ? "a function" : "a " + (typeof value));

  const payloadOf = (name, values) => {
    if (values.length === 0 || (values.length === 1 && values[0] === undefined)) return "{}";
    const value = values[0];
    if (values.length > 1) throw new TypeError("codemode." + name + " takes one object with named arguments, not " + values.length + " values");
    if (typeof value !== "object" || value === null || isArray(value)) {
      throw new TypeError("codemode." + name + " takes one object with named arguments, as in codemode." + name + "({ key: value }), not " + kindOf(value));
    }
    const payload = stringify(value);
    if (typeof payload === "string" && startsWith(payload, "{")) return payload;
    throw new TypeError("codemode." + name + " takes an object, but its toJSON() makes something else of it");
  };

  const call = (name, values) => send(name, () => payloadOf(name, values), here());
  const send = (name, payloadNow, stack) => new Promise((resolve, reject) => {
    submit(TOOL, name, payloadNow(), {
      __proto__: null,
      accept: (text) => { resolve(parse(text)); },
      refuse: (failure) => { reject(new ToolError(failure, stack)); },
      reject,
    });
  });

  // ask(name, arguments) -> promise: a call of a tool of Lockgate's own.
  lockgate.ask = (name, value) => send("lockgate." + name, () => stringify(value), here());

  const refuseChange = (what) => () => { throw new TypeError(what + " cannot be changed"); };
  const level = (what, child, misuse) => {
    const children = { __proto__: null };
    const symbols = { __proto__: null, [toPrimitive]: () => "[object " + what + "]", [toStringTag]: what };
    // A function as target, so that calling a group of tools can say what to do instead.
    return new Proxy(() => {}, {
      __proto__: null,
      get: (target, name) => (typeof name === "symbol" ? symbols[name] : (children[name] ??= child(name))),
      has: (target, name) => typeof name === "string",
      apply: () => { throw new TypeError(misuse()); },
      ownKeys: () => [],
      getOwnPropertyDescriptor: () => undefined,
      set: refuseChange(what), defineProperty: refuseChange(what), deleteProperty: refuseChange(what), setPrototypeOf: refuseChange(what),
    });
  };

  // Each page is the value of one call; the host tells the arguments of the next one. One that repeats itself is the last.
  const pages = (name, values) => {
    const stack = here();
    let payload = payloadOf(name, values);
    const end = () => { payload = null; return { value: undefined, done: true }; };
    const step = () => then(send(name + ".response", () => payload, stack), (response) => {
      const next = response.next === null ? null : stringify(response.next);
      payload = next === payload ? null : next;
      return { value: response.data, done: false };
    });
    return {
      __proto__: null,
      next: () => new Promise((resolve) => { resolve(payload === null ? end() : step()); }),
      return: () => new Promise((resolve) => { resolve(end()); }),
      [asyncIterator]() { return this; },
    };
  };

  const named = (name, function_) => {
    defineProperty(function_, "name", { __proto__: null, value: name });
    return function_;
  };

  const tool = (name) => {
    const function_ = named(name, (...values) => call(name, values));
    lockgate.define(function_, {
      response: named(name + ".response", (...values) => call(name + ".response", values)),
      pages: named(name + ".pages", (...values) => pages(name, values)),
    });
    return function_;
  };

  // `await codemode.x` looks for codemode.x.then and calls it with two functions: that must fail rather than wait for ever,
  // while codemode.x.then({ ... }) stays a tool like any other.
  const thenTool = (name, misuse) => {
    const then = tool(name + ".then");
    return (...values) => {
      if (typeof values[0] === "function") throw new TypeError(misuse);
      return apply(then, undefined, values);
    };
  };

  const upstream = (name) => {
    const misuse = "codemode." + name + " is a group of tools, not a function or a promise: call one of its tools, as in "
      + "await codemode." + name + ".tool({ key: value })";
    return level("codemode." + name, (child) => (child === "then" ? thenTool(name, misuse) : tool(name + "." + child)), () => misuse);
  };

  // What the catalog answers: search takes words, describe a name or several, both options as a second value.
  const catalog = (name, key) => named("codemode." + name, (...values) => {
    const first = values.length === 0 ? undefined : values[0];
    const options = values.length < 2 ? undefined : values[1];
    const direct = typeof first === "string" || isArray(first);
    if (!direct || key === null) return call("lockgate." + name, values);
    const merged = { __proto__: null, [key]: first };
    const names = typeof options === "object" && options !== null ? primordials.keys(options) : [];
    for (let i = 0; i < names.length; i++) merged[names[i]] = options[names[i]];
    return call("lockgate." + name, [merged]);
  });
  const asked = { __proto__: null, tools: catalog("tools", null), search: catalog("search", "query"), describe: catalog("describe", "names") };

  // codemode itself has no `then`, so it can be returned and awaited like any object.
  const root = (name) => (name === "then" ? undefined : (asked[name] ?? upstream(name)));
  expose({
    codemode: level("codemode", root, () => "codemode is not a function: call a tool, as in await codemode.upstream.tool({ key: value })"),
  });
}
