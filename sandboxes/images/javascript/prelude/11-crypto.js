// crypto: randomness from the execution's seeded stream. No keys, no digests.
(lockgate) => {
  "use strict";
  const { byteLength, bytesOf, expose, getter, native, primordials } = lockgate;
  const { DOMException, Error, Symbol, TypeError, Uint8Array, getPrototypeOf, indexOf, isView } = primordials;
  const MAX_BYTES = 65536;
  const kind = getter(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);

  expose({
    crypto: {
      getRandomValues(array) {
        const name = isView(array) ? kind(array) : undefined;
        if (name === undefined || indexOf(name, "Float") >= 0) throw new TypeError("crypto.getRandomValues takes an integer typed array");
        const bytes = bytesOf(array);
        if (byteLength(bytes) > MAX_BYTES) {
          throw new DOMException("crypto.getRandomValues fills at most " + MAX_BYTES + " bytes a call, not " + byteLength(bytes), "QuotaExceededError");
        }
        native.fillRandom(bytes);
        return array;
      },
      randomUUID() { return native.uuid(); },
      get subtle() {
        throw new Error("crypto.subtle is not available in this sandbox: sign, hash and encrypt behind a tool; crypto.randomUUID and "
          + "crypto.getRandomValues are here");
      },
    },
  });
}
