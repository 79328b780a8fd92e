// From a started program to the JSON text of its value, and a word on the rejections nobody handled.
(lockgate) => {
  "use strict";
  const { inspect, native, primordials } = lockgate;
  const { Map, Set, TypeError, exec, getOwnPropertyDescriptor, global, isArray, keys, slice, stringify } = primordials;
  const SCRIPT = 0, MODULE = 2, LOG_LINE_LIMIT = 1, WARN = 3, MAX_REJECTIONS = 20;
  const sizeOfMap = lockgate.getter(Map.prototype, "size"), sizeOfSet = lockgate.getter(Set.prototype, "size");

  // A program that is nothing but one function is called with the inputs. It is one if the function's own source text is
  // all there is, apart from space, comments ahead, parentheses around and semicolons behind.
  const AHEAD = /^(?:#![^\n]*\n|\s|\/\/[^\n]*\n|\/\*[^]*?\*\/)*/, BEHIND = /[;\s]*$/;
  const DECLARED = /^(?:async\s+)?function\s+([\w$]+)/;
  const sourceOf = lockgate.uncurry(Function.prototype.toString);

  const wholeProgram = () => {
    const source = native.source(), ahead = exec(AHEAD, source)[0].length;
    return slice(source, ahead, exec(BEHIND, source).index);
  };

  const isWhole = (candidate, text) => {
    if (typeof candidate !== "function") return false;
    const own = sourceOf(candidate);
    return text === own || text === "(" + own + ")";
  };

  const wholeFunction = (last) => {
    const text = wholeProgram();
    if (isWhole(last, text)) return last;
    const name = last === undefined ? exec(DECLARED, text) : null;
    // In a session a function is declared for later programs, as in any REPL; main is the exception.
    const declared = name === null || (native.number() > 0 && name[1] !== "main") ? undefined : getOwnPropertyDescriptor(global, name[1])?.value;
    return isWhole(declared, text) ? declared : undefined;
  };

  const is = (size, value) => {
    try { size(value); return true; } catch { return false; }
  };

  // Where JSON.stringify met what it cannot hold: a path such as `result.items[3].id`, looked for only after it failed.
  const find = (value, path, parents, depth) => {
    if (typeof value === "bigint") return path + " is the BigInt " + value + "n, which JSON cannot hold: convert it with Number() or String()";
    if (typeof value !== "object" || value === null || depth > 200) return undefined;
    for (let at = parents; at !== null; at = at.next) {
      if (at.value === value) return path + " refers back to " + at.path + ", and JSON cannot hold a cycle: return the data without it";
    }
    const inside = { __proto__: null, value, path, next: parents }, names = keys(value);
    for (let i = 0; i < names.length; i++) {
      const child = getOwnPropertyDescriptor(value, names[i])?.value;
      const found = find(child, isArray(value) ? path + "[" + names[i] + "]" : path + "." + names[i], inside, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };

  const unfit = (value) => {
    if (typeof value === "function") return "the result is a function, which JSON cannot hold: call it, or return data";
    if (typeof value === "symbol") return "the result is a symbol, which JSON cannot hold: return data";
    if (typeof value !== "object" || value === null) return undefined;
    if (is(sizeOfMap, value)) return "the result is a Map, of which JSON keeps nothing: return Object.fromEntries(map)";
    if (is(sizeOfSet, value)) return "the result is a Set, of which JSON keeps nothing: return Array.from(set)";
    return undefined;
  };

  const explained = (error, value) => {
    try {
      const why = find(value, "result", null, 0);
      return why === undefined ? error : new TypeError(why);
    } catch {
      return error;
    }
  };

  const json = (value) => {
    if (value === undefined) return "null";
    const why = unfit(value);
    if (why !== undefined) throw new TypeError(why);
    try {
      return stringify(value) ?? "null";
    } catch (error) {
      throw explained(error, value);
    }
  };

  const value = async (promise, inputs) => {
    const done = await promise, mode = native.mode();
    if (mode === SCRIPT) {
      const last = await done.value;
      if (last !== undefined && typeof last !== "function") return last;
      const whole = wholeFunction(last);
      return whole === undefined ? last : await whole(inputs);
    }
    if (mode !== MODULE) return done;
    const exported = await native.exports()?.default;
    return typeof exported === "function" ? await exported(inputs) : exported;
  };

  // conclude(promise of the program's evaluation, inputs) -> promise of the result's JSON text.
  lockgate.conclude = async (promise, inputs) => json(await value(promise, inputs));

  // Rejections without a handler, at most MAX_REJECTIONS of them: what is left at the end is logged, not fatal.
  let lost = null, count = 0;
  lockgate.rejection = (promise, reason, handled) => {
    if (!handled) {
      if (count >= MAX_REJECTIONS) return;
      lost = { __proto__: null, promise, reason, next: lost };
      count++;
      return;
    }
    for (let at = lost, before = null; at !== null; before = at, at = at.next) {
      if (at.promise !== promise) continue;
      if (before === null) lost = at.next;
      else before.next = at.next;
      count--;
      return;
    }
  };

  // reportRejections(what the program ended with): that one is told anyway.
  lockgate.reportRejections = (ending) => {
    for (let at = lost; at !== null; at = at.next) {
      if (at.reason !== ending) native.log(WARN, "Rejection nobody handled (await every call): " + inspect(at.reason, native.limit(LOG_LINE_LIMIT)));
    }
  };

  // Before the next program of a session.
  lockgate.forget = () => {
    lockgate.forgetConsole();
    lockgate.forgetCalls();
    lost = null;
    count = 0;
  };
}
