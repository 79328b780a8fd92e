// Errors: the classes a program can catch, and the words an uncaught error is reported with.
(lockgate) => {
  "use strict";
  const { expose, inspect, native, primordials } = lockgate;
  const { Error, TypeError, defineProperty, exec, indexOf, isError, keys, slice, stackOf, startsWith, stringify } =
    primordials;
  const PROGRAM = "program.js", RESULT_LIMIT = 2;
  const MAX_NAME = 200, MAX_MESSAGE = 8000, MAX_FRAMES = 30, MAX_LINE = 400, MAX_STACK = 100000;
  const FRAME = /(program(?:-\d+)?\.js):(\d+):(\d+)/;

  const each = (text, use) => {
    for (let from = 0; from <= text.length;) {
      const at = indexOf(text, "\n", from), end = at < 0 ? text.length : at;
      if (use(slice(text, from, end)) === false) return;
      from = end + 1;
    }
  };
  const bounded = (text, limit) => (text.length > limit ? slice(text, 0, limit) + "... (" + (text.length - limit) + " more characters)" : text);
  const domName = lockgate.getter(DOMException.prototype, "name");
  const isDOMException = (value) => {
    try { return typeof domName(value) === "string"; } catch { return false; }
  };
  const read = (value, name) => {
    try { return value[name]; } catch { return undefined; }
  };

  // The position a stack frame names in the caller's source: { frame's own text, line, column, source line }. Frames of a
  // session's earlier programs have none: their source is gone.
  const position = (frame) => {
    const match = indexOf(frame, "lockgate:") < 0 ? exec(FRAME, frame) : null;
    if (match === null || match[1] !== native.file()) return undefined;
    const line = +match[2], found = native.position(line, +match[3]);
    return found === undefined ? undefined : { __proto__: null, written: match[0], line, column: found.column, text: found.text };
  };

  const cleanFrame = (frame) => {
    const found = position(frame);
    if (found === undefined) return frame;
    const at = indexOf(frame, found.written);
    return "" + slice(frame, 0, at) + PROGRAM + ":" + found.line + ":" + found.column + slice(frame, at + found.written.length);
  };

  // Without the prelude's frames, positions corrected, bounded in number and length.
  const cleanStack = (stack) => {
    if (typeof stack !== "string") return "";
    let clean = "", frames = 0;
    each(slice(stack, 0, MAX_STACK), (frame) => {
      if (frame === "" || indexOf(frame, "lockgate:") >= 0) return true;
      clean += (clean === "" ? "" : "\n") + slice(cleanFrame(frame), 0, MAX_LINE);
      return ++frames < MAX_FRAMES;
    });
    return clean;
  };

  const firstPosition = (stack) => {
    let found;
    each(stack, (frame) => (found = position(frame)) === undefined);
    return found;
  };

  // A failed host call, as the host told it: { code, message, status, retryable, tool, details }, and retry_after (seconds)
  // where the upstream gave one.
  let hostCallOf;
  const FIELDS = { __proto__: null, code: true, status: true, retryable: true, tool: true, details: true };
  const fieldNames = keys(FIELDS);
  const hidden = (value) => ({ __proto__: null, value, writable: true, configurable: true, enumerable: false });
  const adopt = (error, call, stack) => {
    for (let i = 0; i < fieldNames.length; i++) {
      defineProperty(error, fieldNames[i], { __proto__: null, value: call[fieldNames[i]], writable: true, configurable: true, enumerable: true });
    }
    if (typeof call.retry_after === "number") {
      defineProperty(error, "retry_after", { __proto__: null, value: call.retry_after, writable: true, configurable: true, enumerable: true });
    }
    defineProperty(error, "stack", hidden(cleanStack(stack)));
  };

  class ToolError extends Error {
    #call;
    constructor(call, stack) {
      super(call.message);
      this.#call = call;
      adopt(this, call, stack);
    }
    static { hostCallOf = (error) => (typeof error === "object" && error !== null && #call in error ? error.#call : null); }
  }

  // fetch rejects with a TypeError, as the standard wants, that also says why.
  class FetchError extends TypeError {
    #call;
    constructor(call, stack) {
      super(call.message);
      this.#call = call;
      adopt(this, call, stack);
    }
    static {
      const toolCallOf = hostCallOf;
      hostCallOf = (error) => toolCallOf(error) ?? (typeof error === "object" && error !== null && #call in error ? error.#call : null);
    }
  }
  defineProperty(ToolError.prototype, "name", hidden("ToolError"));
  defineProperty(FetchError.prototype, "name", hidden("FetchError"));
  expose({ ToolError, FetchError });

  // An error in a result or an argument: JSON.stringify would make {} of it and lose what went wrong.
  lockgate.define(Error.prototype, {
    toJSON() {
      const json = { name: read(this, "name"), message: read(this, "message") };
      const names = keys(this);
      for (let i = 0; i < names.length; i++) {
        defineProperty(json, names[i], { __proto__: null, value: this[names[i]], writable: true, configurable: true, enumerable: true });
      }
      return json;
    },
  });

  const limitOf = (error, name, message, shortOfMemory) => {
    if (name === "ResultTooLarge") return "result";
    // The last is what QuickJS says when there is no room for its message.
    if (shortOfMemory && (error === null || message === "out of memory" || message === "Invalid error message")) return "memory";
    if (name === "RangeError" && startsWith(message, "Maximum call stack size exceeded")) return "stack";
    return hostCallOf(error)?.code === "limit" && hostCallOf(error).local === true ? "call_bytes" : null;
  };

  const callText = (error) => {
    const call = hostCallOf(error);
    if (call === null) return "null";
    const { code, message, status, retryable, tool, details, retry_after } = call;
    const text = stringify({ __proto__: null, code, message, status, retryable, tool, details, retry_after });
    if (text.length <= native.limit(RESULT_LIMIT)) return text;
    return stringify({ __proto__: null, code, message: bounded(message, MAX_MESSAGE), status, retryable, tool, details: null, retry_after });
  };

  const words = (error, shortOfMemory) => {
    if (error === null && shortOfMemory) return { __proto__: null, name: "InternalError", message: "out of memory", stack: "" };
    if (!isError(error) && !isDOMException(error)) return { __proto__: null, name: "Uncaught", message: inspect(error, MAX_MESSAGE), stack: "" };
    const name = read(error, "name"), message = read(error, "message"), stack = read(error, "stack");
    return {
      __proto__: null, name: typeof name === "string" ? name : "Error",
      message: typeof message === "string" ? message : inspect(message, MAX_MESSAGE), stack: typeof stack === "string" ? stack : "",
    };
  };

  // describe(error, short of memory) -> the outcome's error JSON.
  lockgate.describe = (error, shortOfMemory) => {
    const { name, message, stack } = words(error, shortOfMemory);
    const at = firstPosition(slice(stack, 0, MAX_STACK));
    const head = stringify({
      __proto__: null, name: bounded(name, MAX_NAME), message: bounded(message, MAX_MESSAGE), stack: cleanStack(stack),
      line: at === undefined ? null : at.line, column: at === undefined ? null : at.column,
      source_line: at === undefined ? null : bounded(at.text, MAX_LINE), limit: limitOf(error, name, message, shortOfMemory),
    });
    return slice(head, 0, -1) + ",\"call\":" + callText(error) + "}";
  };

  // Where a program stands, for errors that come back later. Cleaned only if it is needed: most calls succeed.
  lockgate.here = () => stackOf(new Error());
  lockgate.cleanStack = cleanStack;
  lockgate.isDOMException = isDOMException;
  lockgate.ToolError = ToolError;
  lockgate.FetchError = FetchError;
  // A refusal made in the guest looks like one of the host's; `local` says that it is not.
  lockgate.refusal = (code, message, tool) =>
    ({ __proto__: null, code, message, status: null, retryable: false, tool, details: null, local: true });
}
