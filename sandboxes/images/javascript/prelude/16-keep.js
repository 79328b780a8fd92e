// emit(name, data, type), store.get/set/delete/keys and results[handle]: what a program leaves for its caller and for the
// programs after it. Host calls of the tools lockgate.*, like the catalog's.
(lockgate) => {
  "use strict";
  const { ask, bytesOf, copyOf, define, expose, primordials, toBase64 } = lockgate;
  const { Proxy, String, Symbol, TypeError, startsWith, then } = primordials;
  const { toPrimitive, toStringTag } = Symbol;
  const kindOf = (value) => (value === null ? "null" : typeof value);

  const emit = (name, data, type) => {
    if (typeof name !== "string") throw new TypeError("emit(name, data, type): name is a string, not " + kindOf(name));
    if (typeof data === "string") return ask("emit", { __proto__: null, name, text: data, type: type ?? "text/plain" });
    const bytes = bytesOf(data);
    if (bytes === undefined) {
      throw new TypeError("emit(name, data, type): data is a string, an ArrayBuffer or a typed array, not " + kindOf(data) + "; JSON.stringify what is neither");
    }
    return ask("emit", { __proto__: null, name, base64: toBase64(copyOf(bytes)), type: type ?? "application/octet-stream" });
  };

  const store = {};
  define(store, {
    get: (key) => then(ask("store_get", { __proto__: null, key: String(key) }), (answer) => answer.value),
    set: (key, value) => ask("store_set", { __proto__: null, key: String(key), value: value === undefined ? null : value }),
    delete: (key) => ask("store_delete", { __proto__: null, key: String(key) }),
    keys: () => ask("store_keys", { __proto__: null }),
    [toStringTag]: "store",
  });

  // results[handle] is a promise of the whole; results.get(handle, { path, offset, limit }) of a part.
  const part = (handle, options) => {
    const { path, offset, limit } = options ?? {};
    return ask("result", { __proto__: null, handle: String(handle), path: path ?? "", offset, limit });
  };
  const symbols = { __proto__: null, [toPrimitive]: () => "[object results]", [toStringTag]: "results" };
  const results = new Proxy({}, {
    __proto__: null,
    get: (target, name) => {
      if (typeof name === "symbol") return symbols[name];
      if (name === "get") return part;
      return startsWith(name, "res_") ? part(name) : undefined;
    },
    set: () => { throw new TypeError("results cannot be changed; store.set(key, value) keeps a value for later programs"); },
  });

  expose({ emit, store, results });
}
