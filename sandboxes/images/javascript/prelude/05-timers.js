// Timers and microtasks. The clock stands still while code runs, so a delay of 0 fires with the next event.
(lockgate) => {
  "use strict";
  const { expose, native, primordials } = lockgate;
  const { TypeError, apply } = primordials;

  const callable = (name, callback) => {
    if (typeof callback === "function") return callback;
    throw new TypeError(name + " takes a function, not " + (callback === null ? "null" : typeof callback));
  };
  const bound = (callback, values) => (values.length === 0 ? callback : () => { apply(callback, undefined, values); });
  const start = (name, callback, delay, repeat, values) =>
    native.setTimer(bound(callable(name, callback), values), delay === undefined ? 0 : +delay, repeat);
  const clear = (id) => { if (id !== undefined && id !== null) native.clearTimer(+id); };

  expose({
    setTimeout(callback, delay, ...values) { return start("setTimeout", callback, delay, false, values); },
    setInterval(callback, delay, ...values) { return start("setInterval", callback, delay, true, values); },
    setImmediate(callback, ...values) { return start("setImmediate", callback, 0, false, values); },
    clearTimeout(id) { clear(id); },
    clearInterval(id) { clear(id); },
    clearImmediate(id) { clear(id); },
    performance: {
      now() { return native.elapsed(); },
      get timeOrigin() { return native.started(); },
      toJSON() { return { timeOrigin: native.started() }; },
    },
  });
}
