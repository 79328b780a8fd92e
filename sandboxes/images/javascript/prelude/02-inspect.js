// Values as readable text for the console and for messages: bounded in depth, in entries and in length; cycles are named.
(lockgate) => {
  "use strict";
  const { getter, primordials, uncurry } = lockgate;
  const { String, exec, getOwnPropertyDescriptor, getPrototypeOf, indexOf, isArray, isError, isView, ownKeys, repeat, slice,
    stackOf, stringify } = primordials;
  const MAX_DEPTH = 5, MAX_ENTRIES = 100, WIDTH = 100;

  const toISOString = uncurry(Date.prototype.toISOString), getTime = uncurry(Date.prototype.getTime);
  const regExpSource = getter(RegExp.prototype, "source"), regExpFlags = getter(RegExp.prototype, "flags");
  const numberText = uncurry(Number.prototype.toString);
  const symbolText = uncurry(Symbol.prototype.toString), bigIntText = uncurry(BigInt.prototype.toString);
  const mapSize = getter(Map.prototype, "size"), setSize = getter(Set.prototype, "size");
  const mapEach = uncurry(Map.prototype.forEach), setEach = uncurry(Set.prototype.forEach);
  const typedName = getter(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);
  const typedLength = getter(getPrototypeOf(Uint8Array.prototype), "length");
  const bufferLength = getter(ArrayBuffer.prototype, "byteLength");
  const promises = Promise.prototype;
  const NAME = /^[A-Za-z_$][\w$]*$/;

  // A brand check: what the method answers for its own kind, otherwise undefined.
  const attempt = (method, value) => {
    try { return method(value); } catch { return undefined; }
  };

  // An own data property found on the value or its prototypes, without running a getter.
  const dataProperty = (value, name) => {
    for (let at = value, steps = 0; at !== null && at !== undefined && steps < 100; at = getPrototypeOf(at), steps++) {
      const descriptor = getOwnPropertyDescriptor(at, name);
      if (descriptor !== undefined) return descriptor.value;
    }
    return undefined;
  };

  const className = (value) => {
    const constructor = dataProperty(value, "constructor");
    const name = typeof constructor === "function" ? dataProperty(constructor, "name") : undefined;
    return typeof name === "string" && name !== "" ? name : "";
  };

  const number = (value) => (value === 0 && 1 / value < 0 ? "-0" : numberText(value));
  const quote = (text) => (text.length > 10000 ? stringify(slice(text, 0, 10000)) + "... " + (text.length - 10000) + " more characters"
    : stringify(text));

  const primitive = (value) => {
    switch (typeof value) {
      case "string": return quote(value);
      case "number": return number(value);
      case "bigint": return bigIntText(value) + "n";
      case "symbol": return symbolText(value);
      default: return String(value);
    }
  };

  const functionText = (value) => {
    const name = dataProperty(value, "name");
    return typeof name === "string" && name !== "" ? "[Function: " + name + "]" : "[Function (anonymous)]";
  };

  const errorText = (value) => {
    const name = dataProperty(value, "name"), message = dataProperty(value, "message");
    const title = typeof name === "string" ? name : "Error";
    const head = typeof message === "string" && message !== "" ? title + ": " + message : title;
    const own = dataProperty(value, "stack");
    const stack = lockgate.cleanStack(typeof own === "string" ? own : attempt(stackOf, value));
    return stack === "" ? head : head + "\n" + stack;
  };

  // One rendering: `room` is what is left of its length, `parents` a list of the objects it is inside of.
  const render = (value, depth, parents, state) => {
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return primitive(value);
    if (state.room <= 0) return "...";
    if (typeof value === "function") return functionText(value);
    for (let at = parents; at !== null; at = at.next) if (at.value === value) return "[Circular]";
    return compound(value, depth, { __proto__: null, value, next: parents }, state);
  };

  // A body of entries between brackets, on one line if it fits.
  const block = (prefix, open, close, depth, fill) => {
    const indent = repeat("  ", depth + 1);
    let short = "", long = "", count = 0, broken = false;
    const add = (text) => {
      short += (count === 0 ? "" : ", ") + text;
      long += (count === 0 ? "" : ",") + "\n" + indent + text;
      broken ||= indexOf(text, "\n") >= 0;
      count++;
    };
    fill(add);
    if (count === 0) return prefix + open + close;
    if (!broken && prefix.length + short.length + depth * 2 <= WIDTH) {
      return prefix + (open === "{" ? "{ " + short + " }" : open + " " + short + " " + close);
    }
    return prefix + open + long + "\n" + slice(indent, 2) + close;
  };

  const more = (add, left) => { if (left > 0) add("... " + left + " more"); };

  const listed = (value, length, prefix, depth, parents, state) => block(prefix, "[", "]", depth, (add) => {
    const shown = length < MAX_ENTRIES ? length : MAX_ENTRIES;
    let i = 0;
    for (; i < shown && state.room > 0; i++) {
      const descriptor = getOwnPropertyDescriptor(value, i);
      const text = descriptor === undefined ? "<empty>" : property(descriptor, depth, parents, state);
      state.room -= text.length;
      add(text);
    }
    more(add, length - i);
  });

  const property = (descriptor, depth, parents, state) =>
    descriptor.get !== undefined || descriptor.set !== undefined ? "[Getter]" : render(descriptor.value, depth + 1, parents, state);

  const keyText = (key) => (typeof key === "symbol" ? "[" + symbolText(key) + "]" : exec(NAME, key) === null ? stringify(key) : key);

  const keyed = (value, prefix, depth, parents, state) => block(prefix, "{", "}", depth, (add) => {
    const keys = ownKeys(value);
    let shown = 0, left = 0;
    for (let i = 0; i < keys.length; i++) {
      const descriptor = getOwnPropertyDescriptor(value, keys[i]);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      if (shown >= MAX_ENTRIES || state.room <= 0) { left++; continue; }
      const text = keyText(keys[i]) + ": " + property(descriptor, depth, parents, state);
      state.room -= text.length;
      shown++;
      add(text);
    }
    more(add, left);
  });

  const mapped = (value, size, prefix, depth, parents, state, each, pair) => block(prefix, "{", "}", depth, (add) => {
    let shown = 0;
    each(value, (item, key) => {
      if (shown >= MAX_ENTRIES || state.room <= 0) return;
      const text = (pair ? render(key, depth + 1, parents, state) + " => " : "") + render(item, depth + 1, parents, state);
      state.room -= text.length;
      shown++;
      add(text);
    });
    more(add, size - shown);
  });

  const compound = (value, depth, parents, state) => {
    if (isError(value) || lockgate.isDOMException(value)) return errorText(value);
    const name = className(value);
    if (depth >= MAX_DEPTH) return isArray(value) ? "[Array]" : "[" + (name === "" ? "Object" : name) + "]";
    if (isArray(value)) return listed(value, value.length, "", depth, parents, state);
    if (isView(value)) {
      const kind = typedName(value);
      if (kind === undefined) return "DataView {}";
      return listed(value, typedLength(value), kind + "(" + typedLength(value) + ") ", depth, parents, state);
    }
    let size = attempt(mapSize, value);
    if (size !== undefined) return mapped(value, size, "Map(" + size + ") ", depth, parents, state, mapEach, true);
    size = attempt(setSize, value);
    if (size !== undefined) return mapped(value, size, "Set(" + size + ") ", depth, parents, state, setEach, false);
    return scalarObject(value) ?? keyed(value, name === "" || name === "Object" ? "" : name + " ", depth, parents, state);
  };

  // Objects that stand for one value: undefined for all others.
  const scalarObject = (value) => {
    const time = attempt(getTime, value);
    if (time !== undefined) return time !== time ? "Invalid Date" : toISOString(value);
    const bytes = attempt(bufferLength, value);
    if (bytes !== undefined) return "ArrayBuffer { byteLength: " + bytes + " }";
    const pattern = attempt(regExpSource, value);
    if (pattern !== undefined) return "/" + pattern + "/" + (attempt(regExpFlags, value) ?? "");
    return getPrototypeOf(value) === promises ? "Promise {}" : undefined;
  };

  // inspect(value, room) -> text of about `room` characters at most. Never throws.
  lockgate.inspect = (value, room = 100000) => {
    try {
      return render(value, 0, null, { __proto__: null, room });
    } catch {
      return "[value that cannot be shown]";
    }
  };
}
