// fetch, Headers, Request and Response as the Fetch Standard shapes them, over one kind of host call. Bodies are whole:
// there are no streams, forms or blobs here, and what is missing says so when used.
(lockgate) => {
  "use strict";
  const { bufferOf, bytesOf, copyOf, expose, fromBase64, native, primordials, push, toBase64 } = lockgate;
  const { Array, DOMException, Error, Promise, RangeError, String, Symbol, SyntaxError, TypeError, apply, codeAt, exec,
    indexOf, isArray, keys, parse, slice, stringify, toLowerCase, toUpperCase, trunc } = primordials;
  const FETCH = 2;

  // Headers: a list { length, 0: { name, value }, ... } in the order of appearance, names in lower case.
  const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, BAD_VALUE = /[\0\r\n]|[^\0-\xff]/;
  const headerName = (name) => {
    const text = String(name);
    if (exec(TOKEN, text) === null) throw new TypeError("invalid header name: " + stringify(slice(text, 0, 100)));
    return toLowerCase(text);
  };
  const strip = (text) => {
    let from = 0, end = text.length;
    const space = (at) => indexOf("\t\n\r ", slice(text, at, at + 1)) >= 0;
    while (from < end && space(from)) from++;
    while (end > from && space(end - 1)) end--;
    return slice(text, from, end);
  };
  const headerValue = (name, value) => {
    const text = strip(String(value));
    if (exec(BAD_VALUE, text) !== null) throw new TypeError("the value of header " + name + " has a line break, a NUL or a character above U+00FF");
    return text;
  };

  const newList = () => ({ __proto__: null, length: 0 });
  const add = (list, name, value) => { list[list.length++] = { __proto__: null, name, value }; };
  const without = (list, name) => {
    const kept = newList();
    for (let i = 0; i < list.length; i++) if (list[i].name !== name) add(kept, list[i].name, list[i].value);
    return kept;
  };
  const combined = (list, name) => {
    let found = null;
    for (let i = 0; i < list.length; i++) if (list[i].name === name) found = found === null ? list[i].value : found + ", " + list[i].value;
    return found;
  };
  const copyList = (list) => without(list, undefined);

  const fill = (list, init) => {
    if (init === undefined || init === null) return;
    if (typeof init !== "object") throw new TypeError("headers are an object, a list of pairs or a Headers");
    const known = listOf(init);
    if (known !== undefined) {
      for (let i = 0; i < known.length; i++) add(list, known[i].name, known[i].value);
    } else if (init[Symbol.iterator] !== undefined) {
      for (const pair of init) {
        const entry = isArray(pair) ? pair : arrayFrom(pair);
        if (entry.length !== 2) throw new TypeError("headers take pairs of a name and a value");
        add(list, headerName(entry[0]), headerValue(entry[0], entry[1]));
      }
    } else {
      const names = keys(init);
      for (let i = 0; i < names.length; i++) add(list, headerName(names[i]), headerValue(names[i], init[names[i]]));
    }
  };
  const arrayFrom = Array.from.bind(Array);

  // Names in order, once each, except set-cookie, which cannot be combined.
  const sortedEntries = (list) => {
    const entries = newList(), seen = { __proto__: null };
    for (let i = 0; i < list.length; i++) {
      const { name, value } = list[i];
      if (name !== "set-cookie" && seen[name]) continue;
      seen[name] = true;
      let at = entries.length++;
      for (; at > 0 && entries[at - 1].name > name; at--) entries[at] = entries[at - 1];
      entries[at] = { __proto__: null, name, value: name === "set-cookie" ? value : combined(list, name) };
    }
    return entries;
  };

  let listOf, headersOf;
  class Headers {
    #list = newList();
    #fixed = false;
    constructor(init = undefined) { fill(this.#list, init); }
    static {
      listOf = (value) => (typeof value === "object" && value !== null && #list in value ? value.#list : undefined);
      headersOf = (list, fixed) => {
        const headers = new Headers();
        headers.#list = list;
        headers.#fixed = fixed;
        return headers;
      };
    }
    #change() { if (this.#fixed) throw new TypeError("the headers of a response from fetch cannot be changed: copy them with new Headers(...)"); }
    append(name, value) {
      this.#change();
      add(this.#list, headerName(name), headerValue(name, value));
    }
    delete(name) {
      this.#change();
      this.#list = without(this.#list, headerName(name));
    }
    get(name) { return combined(this.#list, headerName(name)); }
    getSetCookie() {
      const values = [];
      for (let i = 0; i < this.#list.length; i++) if (this.#list[i].name === "set-cookie") push(values, this.#list[i].value);
      return values;
    }
    has(name) { return combined(this.#list, headerName(name)) !== null; }
    set(name, value) {
      this.#change();
      const lower = headerName(name), text = headerValue(name, value);
      this.#list = without(this.#list, lower);
      add(this.#list, lower, text);
    }
    forEach(callback, self = undefined) {
      const entries = sortedEntries(this.#list);
      for (let i = 0; i < entries.length; i++) apply(callback, self, [entries[i].value, entries[i].name, this]);
    }
    *entries() {
      const entries = sortedEntries(this.#list);
      for (let i = 0; i < entries.length; i++) yield [entries[i].name, entries[i].value];
    }
    *keys() {
      const entries = sortedEntries(this.#list);
      for (let i = 0; i < entries.length; i++) yield entries[i].name;
    }
    *values() {
      const entries = sortedEntries(this.#list);
      for (let i = 0; i < entries.length; i++) yield entries[i].value;
    }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return "Headers"; }
  }

  // A body is { text } or { bytes }, or null; `type` is the content type it asks for.
  const extract = (value) => {
    if (value === undefined || value === null) return null;
    if (typeof value === "string") return { __proto__: null, text: value, type: "text/plain;charset=UTF-8" };
    const query = lockgate.searchText(value);
    if (query !== undefined) return { __proto__: null, text: query, type: "application/x-www-form-urlencoded;charset=UTF-8" };
    const bytes = bytesOf(value);
    if (bytes !== undefined) return { __proto__: null, bytes: copyOf(bytes), type: null };
    if (typeof value === "object" || typeof value === "function") {
      throw new TypeError("a body is a string, an ArrayBuffer, a typed array or URLSearchParams: use JSON.stringify(...) for an object "
        + "and set the content-type header");
    }
    return { __proto__: null, text: String(value), type: "text/plain;charset=UTF-8" };
  };

  const unmarked = (text) => (codeAt(text, 0) === 0xfeff ? slice(text, 1) : text);
  const textOf = (body) => (body === null ? "" : unmarked(body.text ?? native.text(body.bytes, false)));
  const bytesOfBody = (body) => (body === null ? native.utf8("") : body.bytes === undefined ? native.utf8(body.text) : copyOf(body.bytes));

  const parseJSON = (text, about) => {
    try {
      return parse(text);
    } catch (error) {
      throw new SyntaxError(text === "" ? "the body is empty, not JSON" + about
        : "the body is not JSON" + about + ": " + error.message + "; it begins with " + stringify(slice(text, 0, 100)));
    }
  };

  // What Request and Response share.
  let bodyOf, giveBody;
  class Body {
    #body = null;
    #used = false;
    static {
      bodyOf = (holder) => (#body in holder ? { __proto__: null, body: holder.#body, used: holder.#used } : undefined);
      giveBody = (holder, body) => { holder.#body = body; };
    }
    #take() {
      if (this.#used) throw new TypeError("the body was already read: keep what the first read gave, or clone() before it");
      this.#used = this.#body !== null;
      return this.#body;
    }
    get bodyUsed() { return this.#used; }
    get body() {
      if (this.#body === null) return null;
      throw new Error("body streams are not available in this sandbox: use text(), json(), bytes() or arrayBuffer()");
    }
    async text() { return textOf(this.#take()); }
    async json() { return parseJSON(textOf(this.#take()), aboutOf(this)); }
    async bytes() { return bytesOfBody(this.#take()); }
    async arrayBuffer() { return bufferOf(bytesOfBody(this.#take())); }
    async blob() { throw new Error("Blob is not available in this sandbox: use bytes() or arrayBuffer()"); }
    async formData() { throw new Error("FormData is not available in this sandbox: use text() and URLSearchParams"); }
  }

  const METHODS = { __proto__: null, DELETE: true, GET: true, HEAD: true, OPTIONS: true, POST: true, PUT: true, PATCH: false };
  const methodOf = (given) => {
    const method = String(given), upper = toUpperCase(method);
    if (exec(TOKEN, method) === null) throw new TypeError("invalid method: " + stringify(slice(method, 0, 50)));
    if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") throw new TypeError("the method " + upper + " is not allowed");
    return METHODS[upper] === undefined ? method : upper;
  };
  const redirectOf = (given) => {
    const redirect = String(given);
    if (redirect === "follow" || redirect === "error" || redirect === "manual") return redirect;
    throw new TypeError("redirect is follow, error or manual, not " + slice(redirect, 0, 50));
  };
  const urlOf = (input) => {
    const record = lockgate.urlRecord(input);
    if (record === undefined) throw new TypeError("fetch needs an absolute URL, not " + (stringify(slice(String(input), 0, 200))));
    const protocol = lockgate.urlProtocol(record);
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError("fetch speaks http and https, not " + protocol);
    if (lockgate.urlHasCredentials(record)) throw new TypeError("fetch takes no credentials in the URL: the operator adds them on the way out");
    return record.href;
  };

  let requestOf;
  class Request extends Body {
    #url; #method = "GET"; #headers; #redirect = "follow"; #signal;
    constructor(input, init = undefined) {
      super();
      const from = requestOf(input), options = init ?? { __proto__: null };
      this.#url = from === undefined ? urlOf(input) : from.url;
      this.#method = options.method === undefined ? from?.method ?? "GET" : methodOf(options.method);
      this.#redirect = options.redirect === undefined ? from?.redirect ?? "follow" : redirectOf(options.redirect);
      this.#signal = options.signal === undefined ? from?.signal ?? null : options.signal;
      if (this.#signal !== null && !lockgate.isSignal(this.#signal)) throw new TypeError("signal is an AbortSignal");
      this.#headers = new Headers(options.headers ?? from?.headers);
      this.#fill(options.body ?? null, from);
    }
    static {
      requestOf = (value) => (typeof value === "object" && value !== null && #url in value ? {
        __proto__: null, url: value.#url, method: value.#method, headers: value.#headers, redirect: value.#redirect, signal: value.#signal,
        ...bodyOf(value), holder: value,
      } : undefined);
    }
    #fill(given, from) {
      if (given === null && from?.used) throw new TypeError("the body of this request was already read");
      const body = given === null ? from?.body ?? null : extract(given);
      if (body !== null && (this.#method === "GET" || this.#method === "HEAD")) throw new TypeError("a " + this.#method + " request has no body");
      giveBody(this, body);
      const list = listOf(this.#headers);
      if (given !== null && body.type !== null && combined(list, "content-type") === null) add(list, "content-type", body.type);
    }
    get url() { return this.#url; }
    get method() { return this.#method; }
    get headers() { return this.#headers; }
    get redirect() { return this.#redirect; }
    get signal() { return this.#signal; }
    clone() { return new Request(this); }
    get [Symbol.toStringTag]() { return "Request"; }
  }

  const statusOf = (given) => {
    const status = given === undefined ? 200 : trunc(+given);
    if (status >= 200 && status <= 599) return status;
    throw new RangeError("a status is between 200 and 599, not " + given);
  };

  let received, aboutOf, redo;
  class Response extends Body {
    #status; #statusText; #headers; #url = ""; #redirected = false; #type = "default";
    constructor(body = null, init = undefined) {
      super();
      const options = init ?? { __proto__: null }, extracted = extract(body);
      this.#status = statusOf(options.status);
      this.#statusText = options.statusText === undefined ? "" : String(options.statusText);
      this.#headers = new Headers(options.headers);
      if (extracted !== null && (this.#status === 204 || this.#status === 205 || this.#status === 304)) {
        throw new TypeError("a response with status " + this.#status + " has no body");
      }
      giveBody(this, extracted);
      const list = listOf(this.#headers);
      if (extracted !== null && extracted.type !== null && combined(list, "content-type") === null) add(list, "content-type", extracted.type);
    }
    static {
      redo = (body, status, statusText, headers, url, redirected, type) => {
        const response = new Response();
        response.#status = status;
        response.#statusText = statusText;
        response.#headers = headers;
        response.#url = url;
        response.#redirected = redirected;
        response.#type = type;
        giveBody(response, body);
        return response;
      };
      received = (raw) => {
        const list = newList();
        for (let i = 0; i < raw.headers.length; i++) add(list, toLowerCase(raw.headers[i][0]), raw.headers[i][1]);
        const body = raw.body_base64 ? { __proto__: null, bytes: fromBase64(raw.body) } : { __proto__: null, text: raw.body };
        return redo(body, raw.status, raw.status_text, headersOf(list, true), raw.url, raw.redirected, "basic");
      };
      aboutOf = (holder) => {
        if (!(#status in holder)) return "";
        const type = combined(listOf(holder.#headers), "content-type");
        return " (status " + holder.#status + (type === null ? "" : ", content-type " + slice(type, 0, 60)) + ")";
      };
    }
    static error() { return redo(null, 0, "", headersOf(newList(), true), "", false, "error"); }
    static json(data, init = undefined) {
      const text = stringify(data);
      if (text === undefined) throw new TypeError("Response.json takes data that JSON can hold");
      const response = new Response(text, init);
      if (new Headers(init?.headers).get("content-type") === null) response.#headers.set("content-type", "application/json");
      return response;
    }
    static redirect(url, status = 302) {
      const response = new Response(null, { __proto__: null, headers: { __proto__: null, location: urlOf(url) } });
      response.#status = status;
      return response;
    }
    get ok() { return this.#status >= 200 && this.#status <= 299; }
    get status() { return this.#status; }
    get statusText() { return this.#statusText; }
    get headers() { return this.#headers; }
    get url() { return this.#url; }
    get redirected() { return this.#redirected; }
    get type() { return this.#type; }
    clone() {
      const { body, used } = bodyOf(this);
      if (used) throw new TypeError("a response cannot be cloned once its body was read");
      return redo(body, this.#status, this.#statusText, headersOf(copyList(listOf(this.#headers)), false), this.#url, this.#redirected, this.#type);
    }
    get [Symbol.toStringTag]() { return "Response"; }
  }

  // The payload is put together by hand, so that no toJSON of a program's takes part.
  const headersJSON = (list) => {
    let text = "";
    for (let i = 0; i < list.length; i++) text += (i === 0 ? "" : ",") + "[" + stringify(list[i].name) + "," + stringify(list[i].value) + "]";
    return "[" + text + "]";
  };
  const payloadOf = (request, timeout) => {
    const { body } = request, binary = body !== null && body.bytes !== undefined;
    const content = body === null ? null : binary ? toBase64(body.bytes) : body.text;
    return "{\"url\":" + stringify(request.url) + ",\"method\":" + stringify(request.method) + ",\"headers\":" + headersJSON(listOf(request.headers)) + ","
      + "\"body\":" + stringify(content) + ",\"body_base64\":" + binary + ",\"redirect\":\"" + request.redirect + "\",\"timeout_ms\":" + timeout + "}";
  };

  const millisecondsLeft = (signal) => {
    const due = signal === null ? undefined : lockgate.signalDue(signal);
    if (due === undefined) return null;
    const left = due - native.elapsed();
    return left > 1 ? trunc(left + 0.999) : 1;
  };

  const timeoutOf = (failure, timeout) =>
    (failure.code === "timeout" && timeout !== null ? new DOMException("the operation timed out after " + timeout + " ms", "TimeoutError") : undefined);

  const send = (request, stack, resolve, reject) => {
    const { signal } = request, timeout = millisecondsLeft(signal);
    let open = true;
    const close = (settle, value) => {
      if (open) settle(value);
      open = false;
    };
    if (signal !== null) {
      lockgate.followSignal(signal, (reason) => { close(reject, reason); });
      if (!open) return;
    }
    lockgate.submit(FETCH, "", payloadOf(request, timeout), {
      __proto__: null,
      accept: (text) => { close(resolve, open ? received(parse(text)) : undefined); },
      refuse: (failure) => { close(reject, timeoutOf(failure, timeout) ?? new lockgate.FetchError(failure, stack)); },
      reject: (error) => { close(reject, error); },
    });
  };

  expose({
    Headers, Request, Response,
    fetch(input, init = undefined) {
      const stack = lockgate.here();
      return new Promise((resolve, reject) => { send(requestOf(new Request(input, init)), stack, resolve, reject); });
    },
  });
}
