// TextEncoder, TextDecoder, structuredClone's bytes and crypto's randomness: bytes in and out of strings.
(lockgate) => {
  "use strict";
  const { expose, native, primordials } = lockgate;
  const { ArrayBuffer, DataView, RangeError, String, TypeError, Uint8Array, apply, codeAt, isView, slice, toLowerCase, trim }
    = primordials;
  const { getter, uncurry } = lockgate;
  const typed = primordials.getPrototypeOf(Uint8Array.prototype);
  const viewBuffer = getter(typed, "buffer"), viewOffset = getter(typed, "byteOffset"), viewLength = getter(typed, "byteLength");
  const dataBuffer = getter(DataView.prototype, "buffer"), dataOffset = getter(DataView.prototype, "byteOffset");
  const dataLength = getter(DataView.prototype, "byteLength"), bufferLength = getter(ArrayBuffer.prototype, "byteLength");
  const typedKind = getter(typed, primordials.Symbol.toStringTag), set = uncurry(typed.set), subarray = uncurry(typed.subarray);

  const isBuffer = (value) => {
    try { bufferLength(value); return true; } catch { return false; }
  };

  // A Uint8Array over the memory of an ArrayBuffer, a typed array or a DataView; undefined for anything else.
  const bytesOf = (value) => {
    if (isView(value)) {
      if (typedKind(value) !== undefined) return new Uint8Array(viewBuffer(value), viewOffset(value), viewLength(value));
      return new Uint8Array(dataBuffer(value), dataOffset(value), dataLength(value));
    }
    return typeof value === "object" && value !== null && isBuffer(value) ? new Uint8Array(value) : undefined;
  };

  const copyOf = (bytes) => new Uint8Array(bytes);
  const joined = (first, second) => {
    const both = new Uint8Array(viewLength(first) + viewLength(second));
    set(both, first);
    set(both, second, viewLength(first));
    return both;
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return native.utf8(String(text)); }
    encodeInto(text, target) {
      const whole = String(text);
      let read = 0, written = 0;
      for (; read < whole.length;) {
        const pair = codeAt(whole, read) >= 0xd800 && codeAt(whole, read) < 0xdc00 && read + 1 < whole.length ? 2 : 1;
        const bytes = native.utf8(slice(whole, read, read + pair));
        if (written + viewLength(bytes) > viewLength(target)) break;
        set(target, bytes, written);
        written += viewLength(bytes);
        read += pair;
      }
      return { read, written };
    }
  }

  const LABELS = {
    __proto__: null, "utf-8": "utf-8", utf8: "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-16le": "utf-16le", "utf-16": "utf-16le",
    "ucs-2": "utf-16le", latin1: "latin1", "iso-8859-1": "latin1", "l1": "latin1", ascii: "latin1", "us-ascii": "latin1", "windows-1252": "latin1",
  };

  class TextDecoder {
    #encoding; #fatal; #keepMark; #rest; #begun = false;
    constructor(label = "utf-8", options = undefined) {
      this.#encoding = LABELS[toLowerCase(trim(String(label)))];
      if (this.#encoding === undefined) throw new RangeError("TextDecoder knows utf-8, utf-16le and latin1, not " + label);
      this.#fatal = !!options?.fatal;
      this.#keepMark = !!options?.ignoreBOM;
    }
    get encoding() { return this.#encoding === "latin1" ? "windows-1252" : this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#keepMark; }
    decode(input = undefined, options = undefined) {
      let bytes = input === undefined ? new Uint8Array(0) : bytesOf(input);
      if (bytes === undefined) throw new TypeError("TextDecoder.decode takes an ArrayBuffer, a typed array or a DataView");
      if (this.#rest !== undefined) bytes = joined(this.#rest, bytes);
      this.#rest = undefined;
      if (options?.stream) bytes = this.#hold(bytes);
      return this.#unmarked(this.#text(bytes), !!options?.stream);
    }
    // Keeps back the bytes of a character that is not complete yet.
    #hold(bytes) {
      const length = viewLength(bytes);
      const back = this.#encoding === "utf-8" ? native.unfinished(bytes) : this.#encoding === "utf-16le" ? length % 2 : 0;
      if (back === 0) return bytes;
      this.#rest = copyOf(subarray(bytes, length - back));
      return subarray(bytes, 0, length - back);
    }
    #text(bytes) {
      if (this.#encoding === "latin1") return native.latin1(bytes);
      if (this.#encoding === "utf-8") return native.text(bytes, this.#fatal);
      if (viewLength(bytes) % 2 === 1 && this.#fatal) throw new TypeError("the bytes are not valid UTF-16LE");
      return native.utf16(bytes, this.#fatal) + (viewLength(bytes) % 2 === 1 ? "\ufffd" : "");
    }
    #unmarked(text, stream) {
      const first = !this.#begun && text.length > 0;
      this.#begun = stream && (this.#begun || text.length > 0);
      return first && !this.#keepMark && this.#encoding !== "latin1" && codeAt(text, 0) === 0xfeff ? slice(text, 1) : text;
    }
  }

  expose({ TextEncoder, TextDecoder });
  lockgate.bytesOf = bytesOf;
  lockgate.copyOf = copyOf;
  lockgate.byteLength = viewLength;
  lockgate.bufferOf = viewBuffer;
  lockgate.toBase64 = uncurry(Uint8Array.prototype.toBase64);
  lockgate.fromBase64 = ((fromBase64) => (text) => apply(fromBase64, Uint8Array, [text]))(Uint8Array.fromBase64);
}
