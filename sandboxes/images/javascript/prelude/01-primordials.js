// What the prelude uses of the language, taken before any program runs. Programs may change every global and prototype;
// the files after this one reach for nothing but these, private fields and own properties. They do not use for-of,
// spread or array destructuring (Array.prototype[Symbol.iterator]), templates (QuickJS calls String.prototype.concat for
// them), nor write to arrays (setters on prototypes).
(lockgate) => {
  "use strict";
  const { bind, call } = Function.prototype;
  const uncurry = bind.bind(call); // uncurry(method)(self, ...args)
  const getter = (object, name) => uncurry(Object.getOwnPropertyDescriptor(object, name).get);

  lockgate.uncurry = uncurry;
  lockgate.getter = getter;
  lockgate.primordials = {
    __proto__: null,
    Array, ArrayBuffer, DataView, DOMException, Error, Map, Object, Promise, Proxy, RangeError, Set, String, Symbol, SyntaxError,
    TypeError, Uint8Array, global: globalThis,
    apply: Reflect.apply,
    create: Object.create,
    defineProperty: Object.defineProperty,
    freeze: Object.freeze,
    getOwnPropertyDescriptor: Object.getOwnPropertyDescriptor,
    getPrototypeOf: Object.getPrototypeOf,
    isArray: Array.isArray,
    isError: Error.isError,
    isView: ArrayBuffer.isView,
    keys: Object.keys,
    ownKeys: Reflect.ownKeys,
    parse: JSON.parse,
    stringify: JSON.stringify,
    setPrototypeOf: Object.setPrototypeOf,
    trunc: Math.trunc,
    endsWith: uncurry(String.prototype.endsWith),
    indexOf: uncurry(String.prototype.indexOf),
    lastIndexOf: uncurry(String.prototype.lastIndexOf),
    slice: uncurry(String.prototype.slice),
    startsWith: uncurry(String.prototype.startsWith),
    toLowerCase: uncurry(String.prototype.toLowerCase),
    toUpperCase: uncurry(String.prototype.toUpperCase),
    trim: uncurry(String.prototype.trim),
    codeAt: uncurry(String.prototype.charCodeAt),
    repeat: uncurry(String.prototype.repeat),
    exec: uncurry(RegExp.prototype.exec),
    stackOf: getter(Error.prototype, "stack"),
    then: uncurry(Promise.prototype.then),
  };

  // define(target, { name: value }): like the platform's own members, writable and configurable but not enumerable.
  lockgate.define = (target, members) => {
    const { defineProperty, getOwnPropertyDescriptor, ownKeys, setPrototypeOf } = lockgate.primordials;
    const names = ownKeys(members);
    for (let i = 0; i < names.length; i++) {
      // Without a prototype: a program may have given every object a getter called "get".
      const descriptor = setPrototypeOf(getOwnPropertyDescriptor(members, names[i]), null);
      descriptor.enumerable = false;
      defineProperty(target, names[i], descriptor);
    }
  };
  // push(array, value): an own element, whatever setters a prototype has.
  lockgate.push = (array, value) => {
    lockgate.primordials.defineProperty(array, array.length, { __proto__: null, value, writable: true, configurable: true, enumerable: true });
  };
  lockgate.expose = (members) => lockgate.define(globalThis, members);
}
