// Event, EventTarget, AbortController and AbortSignal.
(lockgate) => {
  "use strict";
  const { expose, native, primordials } = lockgate;
  const { DOMException, String, Symbol, TypeError, apply } = primordials;

  let prepare;
  class Event {
    #type; #target = null; #stopped = false; #prevented = false; #cancelable;
    constructor(type, options = undefined) {
      this.#type = String(type);
      this.#cancelable = !!options?.cancelable;
    }
    static { prepare = (event, target) => { event.#target = target; return () => event.#stopped; }; }
    get type() { return this.#type; }
    get target() { return this.#target; }
    get currentTarget() { return this.#target; }
    get cancelable() { return this.#cancelable; }
    get defaultPrevented() { return this.#prevented; }
    get timeStamp() { return native.elapsed(); }
    preventDefault() { this.#prevented ||= this.#cancelable; }
    stopPropagation() {}
    stopImmediatePropagation() { this.#stopped = true; }
  }

  // Listeners form a list by `next`; a removed one is marked, so that a running dispatch passes over it.
  class EventTarget {
    #first = null;
    addEventListener(type, callback, options = undefined) {
      if (callback === null || callback === undefined) return;
      const wanted = String(type), once = typeof options === "object" && options !== null && !!options.once;
      let last = null;
      for (let at = this.#first; at !== null; last = at, at = at.next) {
        if (!at.removed && at.type === wanted && at.callback === callback) return;
      }
      const listener = { __proto__: null, type: wanted, callback, once, removed: false, next: null };
      if (last === null) this.#first = listener;
      else last.next = listener;
    }
    removeEventListener(type, callback) {
      const wanted = String(type);
      let before = null;
      for (let at = this.#first; at !== null; before = at, at = at.next) {
        if (at.type !== wanted || at.callback !== callback) continue;
        at.removed = true;
        if (before === null) this.#first = at.next;
        else before.next = at.next;
        return;
      }
    }
    dispatchEvent(event) {
      const stopped = prepare(event, this), type = event.type;
      const property = this["on" + type];
      if (typeof property === "function") call(property, this, event);
      for (let at = this.#first; at !== null && !stopped(); at = at.next) {
        if (at.removed || at.type !== type) continue;
        if (at.once) this.removeEventListener(type, at.callback);
        call(typeof at.callback === "function" ? at.callback : at.callback.handleEvent, at.callback === at.callback.handleEvent ? at.callback : this, event);
      }
      return !event.defaultPrevented;
    }
  }

  // A listener that throws is logged; the others still run.
  const call = (callback, self, event) => {
    try { apply(callback, self, [event]); } catch (error) { lockgate.uncaught(error); }
  };

  let make, abort, follow, dueOf;
  const secret = { __proto__: null };
  class AbortSignal extends EventTarget {
    #aborted = false; #reason; #followers = null; #due; // #due: when a timeout ends it, in elapsed milliseconds
    onabort = null;
    constructor(key) {
      if (key !== secret) throw new TypeError("AbortSignal cannot be constructed: use new AbortController().signal or AbortSignal.timeout(ms)");
      super();
    }
    static {
      make = () => new AbortSignal(secret);
      // Internal followers come first, and never through methods a program could replace.
      abort = (signal, reason) => {
        if (signal.#aborted) return;
        signal.#aborted = true;
        signal.#reason = reason;
        for (let at = signal.#followers; at !== null; at = at.next) at.react(reason);
        signal.#followers = null;
        dispatch(signal, new Event("abort"));
      };
      follow = (signal, react) => {
        if (signal.#aborted) react(signal.#reason);
        else signal.#followers = { __proto__: null, react, next: signal.#followers };
      };
      dueOf = (signal) => (#due in signal ? signal.#due : undefined);
    }
    static abort(reason = new DOMException("this operation was aborted", "AbortError")) {
      const signal = make();
      abort(signal, reason);
      return signal;
    }
    static timeout(milliseconds) {
      const signal = make(), delay = +milliseconds;
      if (!(delay >= 0)) throw new TypeError("AbortSignal.timeout takes a number of milliseconds");
      signal.#due = native.elapsed() + delay;
      native.setTimer(() => abort(signal, timeoutError(delay)), delay, false);
      return signal;
    }
    static any(signals) {
      const any = make();
      for (const signal of signals) {
        if (!isSignal(signal)) throw new TypeError("AbortSignal.any takes a list of AbortSignals");
        if (signal.#due !== undefined && !(any.#due < signal.#due)) any.#due = signal.#due;
        follow(signal, (reason) => abort(any, reason));
      }
      return any;
    }
    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }
    throwIfAborted() { if (this.#aborted) throw this.#reason; }
    get [Symbol.toStringTag]() { return "AbortSignal"; }
  }
  const dispatch = lockgate.uncurry(EventTarget.prototype.dispatchEvent);
  const timeoutError = (delay) => new DOMException("the operation timed out after " + delay + " ms", "TimeoutError");
  const isSignal = (value) => {
    try { return typeof value === "object" && value !== null && (follow(value, nothing), true); } catch { return false; }
  };
  const nothing = () => {};

  class AbortController {
    #signal = make();
    get signal() { return this.#signal; }
    abort(reason = new DOMException("this operation was aborted", "AbortError")) { abort(this.#signal, reason); }
    get [Symbol.toStringTag]() { return "AbortController"; }
  }

  expose({ Event, EventTarget, AbortController, AbortSignal });
  lockgate.isSignal = isSignal;
  lockgate.followSignal = follow;
  lockgate.signalDue = dueOf;
}
