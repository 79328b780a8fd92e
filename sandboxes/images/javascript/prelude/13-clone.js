// structuredClone (HTML, 2.7): data of any shape, cycles included. Functions and symbols cannot be cloned.
(lockgate) => {
  "use strict";
  const { bufferOf, expose, getter, primordials, uncurry } = lockgate;
  const { ArrayBuffer, DataView, DOMException, Error, Map, Object, Set, String, Symbol, Uint8Array, defineProperty,
    getOwnPropertyDescriptor, getPrototypeOf, isArray, isError, isView, keys } = primordials;
  const mapGet = uncurry(Map.prototype.get), mapSet = uncurry(Map.prototype.set), mapEach = uncurry(Map.prototype.forEach);
  const setAdd = uncurry(Set.prototype.add), setEach = uncurry(Set.prototype.forEach);
  const mapSize = getter(Map.prototype, "size"), setSize = getter(Set.prototype, "size");
  const typed = getPrototypeOf(Uint8Array.prototype), kind = getter(typed, Symbol.toStringTag);
  const offset = getter(typed, "byteOffset"), length = getter(typed, "length"), dataOffset = getter(DataView.prototype, "byteOffset");
  const dataBuffer = getter(DataView.prototype, "buffer"), dataLength = getter(DataView.prototype, "byteLength");
  const bufferSlice = uncurry(ArrayBuffer.prototype.slice), time = uncurry(Date.prototype.getTime);
  const source = getter(RegExp.prototype, "source"), flags = getter(RegExp.prototype, "flags");
  const unbox = [uncurry(Boolean.prototype.valueOf), uncurry(Number.prototype.valueOf), uncurry(String.prototype.valueOf),
    uncurry(BigInt.prototype.valueOf)];
  const VIEWS = { __proto__: null, DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float16Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array };
  const ERRORS = { __proto__: null, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const { Date: DateClass, RegExp: RegExpClass } = globalThis;

  const refuse = (what) => { throw new DOMException(what + " cannot be cloned", "DataCloneError"); };
  const attempt = (method, value) => {
    try { return method(value); } catch { return undefined; }
  };

  const cloneView = (value, seen) => {
    const name = kind(value);
    if (name === undefined) return new DataView(clone(dataBuffer(value), seen), dataOffset(value), dataLength(value));
    return new VIEWS[name](clone(bufferOf(value), seen), offset(value), length(value));
  };

  const cloneError = (value, seen) => {
    const name = String(value.name), Class = ERRORS[name] ?? Error;
    const copy = new Class(String(value.message));
    mapSet(seen, value, copy);
    if (typeof value.stack === "string") defineProperty(copy, "stack", { __proto__: null, value: value.stack, writable: true, configurable: true });
    if (getOwnPropertyDescriptor(value, "cause") !== undefined) {
      defineProperty(copy, "cause", { __proto__: null, value: clone(value.cause, seen), writable: true, configurable: true });
    }
    return copy;
  };

  // Objects that stand for one value, and buffers: a copy, or undefined.
  const cloneScalar = (value) => {
    const ms = attempt(time, value);
    if (ms !== undefined) return new DateClass(ms);
    const pattern = attempt(source, value);
    if (pattern !== undefined) return new RegExpClass(pattern, flags(value));
    const buffer = attempt(bufferSlice, value);
    if (buffer !== undefined) return buffer;
    for (let i = 0; i < unbox.length; i++) {
      const primitive = attempt(unbox[i], value);
      if (primitive !== undefined) return Object(primitive);
    }
    return undefined;
  };

  const cloneFields = (value, copy, seen) => {
    const names = keys(value);
    for (let i = 0; i < names.length; i++) {
      defineProperty(copy, names[i], { __proto__: null, value: clone(value[names[i]], seen), writable: true, configurable: true, enumerable: true });
    }
    return copy;
  };

  const cloneObject = (value, seen) => {
    if (isError(value)) return cloneError(value, seen);
    if (isView(value)) return cloneView(value, seen);
    const scalar = cloneScalar(value);
    if (scalar !== undefined) return scalar;
    if (attempt(mapSize, value) !== undefined) {
      const copy = new Map();
      mapSet(seen, value, copy);
      mapEach(value, (item, key) => { mapSet(copy, clone(key, seen), clone(item, seen)); });
      return copy;
    }
    if (attempt(setSize, value) !== undefined) {
      const copy = new Set();
      mapSet(seen, value, copy);
      setEach(value, (item) => { setAdd(copy, clone(item, seen)); });
      return copy;
    }
    const copy = isArray(value) ? [] : {};
    mapSet(seen, value, copy);
    if (isArray(value)) copy.length = value.length;
    return cloneFields(value, copy, seen);
  };

  const clone = (value, seen) => {
    if (typeof value === "function") return refuse("the function " + (value.name || "(anonymous)"));
    if (typeof value === "symbol") return refuse("a symbol");
    if (typeof value !== "object" || value === null) return value;
    const known = mapGet(seen, value);
    if (known !== undefined) return known;
    const copy = cloneObject(value, seen);
    mapSet(seen, value, copy);
    return copy;
  };

  expose({ structuredClone(value) { return clone(value, new Map()); } });
}
