// Host calls: numbered from 1, each waits for one result. Everything a program asks of the outside goes through here.
(lockgate) => {
  "use strict";
  const { native, primordials, refusal } = lockgate;
  const { parse } = primordials;
  const CALL_LIMIT = 0;
  let waiting = { __proto__: null }, last = 0;

  // submit(kind, name, payload JSON, { accept(text), refuse(error object), reject(error) }): exactly one of the three is called,
  // refuse at once when the call is too large, reject when a result cannot be taken in.
  lockgate.submit = (kind, name, payload, outcome) => {
    const id = ++last;
    waiting[id] = outcome;
    let size;
    try {
      size = native.submit(id, kind, name, payload);
    } catch (error) {
      delete waiting[id];
      throw error;
    }
    if (size === 0) return;
    delete waiting[id];
    outcome.refuse(refusal("limit", "the arguments of this call are " + size + " bytes of JSON, the limit is " + native.limit(CALL_LIMIT) + ": "
      + "send less, or in several calls", name === "" ? null : name));
  };

  // deliver(id, ok, payload JSON) -> whether a call was waiting for it.
  lockgate.deliver = (id, ok, text) => {
    const call = waiting[id];
    if (call === undefined) return false;
    delete waiting[id];
    try {
      if (ok) call.accept(text);
      else call.refuse(parse(text));
    } catch (error) {
      call.reject(error);
    }
    return true;
  };

  // What an earlier program of the session still waited for never comes.
  lockgate.forgetCalls = () => {
    waiting = { __proto__: null };
    last = 0;
  };
}
