// codemode.<upstream>.<tool>(arguments): two levels of proxies, made when first named and kept. Names are not checked here:
// the catalog is the host's, and a tool that is not there is an error of the call.
(lockgate) => {
  "use strict";
  const { ToolError, expose, here, primordials, submit } = lockgate;
  const { Promise, Proxy, Symbol, TypeError, apply, defineProperty, isArray, parse, startsWith, stringify } = primordials;
  const TOOL = 1;
  const { toPrimitive, toStringTag } = Symbol;

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

  const call = (name, values) => new Promise((resolve, reject) => {
    const stack = here(), payload = payloadOf(name, values);
    submit(TOOL, name, payload, {
      __proto__: null,
      accept: (text) => { resolve(parse(text)); },
      refuse: (failure) => { reject(new ToolError(failure, stack)); },
      reject,
    });
  });

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

  const tool = (name) => {
    const function_ = (...values) => call(name, values);
    defineProperty(function_, "name", { __proto__: null, value: name });
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

  // codemode itself has no `then`, so it can be returned and awaited like any object.
  const root = (name) => (name === "then" ? undefined : upstream(name));
  expose({
    codemode: level("codemode", root, () => "codemode is not a function: call a tool, as in await codemode.upstream.tool({ key: value })"),
  });
}
