// URL (ada's parser: the WHATWG URL Standard) and URLSearchParams.
(lockgate) => {
  "use strict";
  const { expose, native, primordials } = lockgate;
  const { String, Symbol, TypeError, apply, indexOf, isArray, keys, slice, startsWith, stringify } = primordials;
  const PROTOCOL = 0, USERNAME = 1, PASSWORD = 2, HOST = 3, HOSTNAME = 4, PORT = 5, PATHNAME = 6, SEARCH = 7, HASH = 8;
  const arrayFrom = Array.from.bind(Array);
  const at = (text, index) => slice(text, index, index + 1);

  // The pairs of a URLSearchParams: a list { length, 0: { name, value }, ... } without a prototype.
  const newList = () => ({ __proto__: null, length: 0 });
  const append = (list, name, value) => { list[list.length++] = { __proto__: null, name, value }; };
  const filtered = (list, keep) => {
    const kept = newList();
    for (let i = 0; i < list.length; i++) if (keep(list[i], i)) append(kept, list[i].name, list[i].value);
    return kept;
  };

  const parsePairs = (text) => {
    const list = newList();
    for (let from = 0; from <= text.length;) {
      const stop = indexOf(text, "&", from), end = stop < 0 ? text.length : stop;
      const pair = slice(text, from, end), equals = indexOf(pair, "=");
      from = end + 1;
      if (pair === "") continue;
      const name = equals < 0 ? pair : slice(pair, 0, equals), value = equals < 0 ? "" : slice(pair, equals + 1);
      append(list, native.formDecode(name), native.formDecode(value));
    }
    return list;
  };

  const writePairs = (list) => {
    let text = "";
    for (let i = 0; i < list.length; i++) {
      text += (i === 0 ? "" : "&") + native.formEncode(list[i].name) + "=" + native.formEncode(list[i].value);
    }
    return text;
  };

  const well = (value) => native.text(native.utf8(String(value)), false); // a USVString

  const pairsOf = (init) => {
    if (init === undefined || init === null) return newList();
    if (typeof init !== "object" && typeof init !== "function") {
      const text = String(init);
      return parsePairs(startsWith(text, "?") ? slice(text, 1) : text);
    }
    const list = newList();
    if (init[Symbol.iterator] === undefined) {
      const names = keys(init);
      for (let i = 0; i < names.length; i++) append(list, well(names[i]), well(init[names[i]]));
      return list;
    }
    for (const pair of init) {
      const entry = isArray(pair) ? pair : arrayFrom(pair);
      if (entry.length !== 2) throw new TypeError("URLSearchParams takes pairs of a name and a value");
      append(list, well(entry[0]), well(entry[1]));
    }
    return list;
  };

  let listOf, adopt;
  class URLSearchParams {
    #list;
    #changed; // tells the URL these belong to
    constructor(init = undefined) { this.#list = pairsOf(init); }
    static {
      listOf = (params) => params.#list;
      adopt = (params, list, changed) => { params.#list = list; params.#changed = changed; };
    }
    #replace(list) {
      this.#list = list;
      this.#changed?.(writePairs(list));
    }
    get size() { return this.#list.length; }
    append(name, value) {
      append(this.#list, well(name), well(value));
      this.#replace(this.#list);
    }
    delete(name, value = undefined) {
      const wanted = well(name), only = value === undefined ? undefined : well(value);
      this.#replace(filtered(this.#list, (pair) => pair.name !== wanted || (only !== undefined && pair.value !== only)));
    }
    get(name) {
      const wanted = well(name);
      for (let i = 0; i < this.#list.length; i++) if (this.#list[i].name === wanted) return this.#list[i].value;
      return null;
    }
    getAll(name) {
      const wanted = well(name), values = [];
      for (let i = 0; i < this.#list.length; i++) if (this.#list[i].name === wanted) lockgate.push(values, this.#list[i].value);
      return values;
    }
    has(name, value = undefined) {
      const wanted = well(name), only = value === undefined ? undefined : well(value);
      for (let i = 0; i < this.#list.length; i++) {
        if (this.#list[i].name === wanted && (only === undefined || this.#list[i].value === only)) return true;
      }
      return false;
    }
    set(name, value) {
      const wanted = well(name), given = well(value);
      let found = false;
      const list = filtered(this.#list, (pair) => {
        if (pair.name !== wanted) return true;
        if (found) return false;
        pair.value = given;
        return (found = true);
      });
      if (!found) append(list, wanted, given);
      this.#replace(list);
    }
    // Stable, by UTF-16 code units: a merge of ever longer runs.
    sort() { this.#replace(sorted(this.#list)); }
    toString() { return writePairs(this.#list); }
    forEach(callback, self = undefined) {
      for (let i = 0; i < this.#list.length; i++) apply(callback, self, [this.#list[i].value, this.#list[i].name, this]);
    }
    *entries() { for (let i = 0; i < this.#list.length; i++) yield [this.#list[i].name, this.#list[i].value]; }
    *keys() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i].name; }
    *values() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i].value; }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return "URLSearchParams"; }
  }

  const sorted = (list) => {
    if (list.length < 2) return list;
    const middle = list.length >> 1, left = sorted(filtered(list, (_, i) => i < middle)), right = sorted(filtered(list, (_, i) => i >= middle));
    const merged = newList();
    for (let i = 0, j = 0; i < left.length || j < right.length;) {
      const pair = j >= right.length || (i < left.length && left[i].name <= right[j].name) ? left[i++] : right[j++];
      append(merged, pair.name, pair.value);
    }
    return merged;
  };

  // Of a URL as it is given, of a base and of a value set: in UTF-16 units. Written out it may be nine times as long.
  const MAX_URL = 1 << 20;
  const fits = (text) => text === undefined || text.length <= MAX_URL;
  const bounded = (value) => {
    const text = String(value);
    if (fits(text)) return text;
    throw new TypeError("a URL has at most " + MAX_URL + " characters here, not " + text.length + ": send data in a body");
  };
  const canParse = (text, base) => {
    const given = String(text), root = base === undefined ? undefined : String(base);
    return fits(given) && fits(root) && parsed(given, root) !== undefined;
  };
  const parsed = (text, base) => native.url(bounded(text), base === undefined ? undefined : bounded(base));
  const isSpecial = (protocol) => protocol === "http:" || protocol === "https:" || protocol === "ws:" || protocol === "wss:" || protocol === "ftp:";

  const part = (record, which) => {
    const { href } = record, end = href.length;
    const hashAt = record.hashStart < 0 ? end : record.hashStart, searchAt = record.searchStart < 0 ? hashAt : record.searchStart;
    const hostAt = at(href, record.hostStart) === "@" ? record.hostStart + 1 : record.hostStart;
    switch (which) {
      case PROTOCOL: return slice(href, 0, record.protocolEnd);
      case USERNAME: return record.protocolEnd + 2 < record.usernameEnd ? slice(href, record.protocolEnd + 2, record.usernameEnd) : "";
      case PASSWORD: return record.hostStart > record.usernameEnd ? slice(href, record.usernameEnd + 1, record.hostStart) : "";
      case HOST: return hostAt === record.hostEnd ? "" : slice(href, hostAt, record.pathnameStart);
      case HOSTNAME: return slice(href, hostAt, record.hostEnd);
      case PORT: return record.port < 0 ? "" : String(record.port);
      case PATHNAME: return slice(href, record.pathnameStart, searchAt);
      case SEARCH: return hashAt - searchAt <= 1 ? "" : slice(href, searchAt, hashAt);
      default: return end - hashAt <= 1 ? "" : slice(href, hashAt);
    }
  };

  const originOf = (record) => {
    const protocol = part(record, PROTOCOL);
    if (isSpecial(protocol)) return protocol + "//" + part(record, HOST);
    const inner = protocol === "blob:" ? parsed(part(record, PATHNAME)) : undefined;
    return inner !== undefined && startsWith(inner.href, "http") ? originOf(inner) : "null";
  };

  const invalid = (text, base) => new TypeError("invalid URL: " + (stringify(slice(String(text), 0, 200)))
    + (base === undefined ? "" : " with base " + (stringify(slice(String(base), 0, 200)))));

  let recordOf;
  class URL {
    #record;
    #params;
    constructor(text, base = undefined) {
      this.#record = parsed(text, base);
      if (this.#record === undefined) throw invalid(text, base);
    }
    static { recordOf = (value) => (typeof value === "object" && value !== null && #record in value ? value.#record : undefined); }
    static canParse(text, base = undefined) { return canParse(text, base); }
    static parse(text, base = undefined) { return canParse(text, base) ? new URL(text, base) : null; }
    #set(which, value) { this.#record = native.urlWith(this.#record.href, which, bounded(value)); }
    #refresh() {
      if (this.#params !== undefined) adopt(this.#params, parsePairs(slice(part(this.#record, SEARCH), 1)), this.#written);
    }
    #written = (text) => { this.#set(SEARCH, text); };
    get href() { return this.#record.href; }
    set href(text) {
      const record = parsed(text);
      if (record === undefined) throw invalid(text);
      this.#record = record;
      this.#refresh();
    }
    get origin() { return originOf(this.#record); }
    get protocol() { return part(this.#record, PROTOCOL); }
    set protocol(value) { this.#set(PROTOCOL, value); }
    get username() { return part(this.#record, USERNAME); }
    set username(value) { this.#set(USERNAME, value); }
    get password() { return part(this.#record, PASSWORD); }
    set password(value) { this.#set(PASSWORD, value); }
    get host() { return part(this.#record, HOST); }
    set host(value) { this.#set(HOST, value); }
    get hostname() { return part(this.#record, HOSTNAME); }
    set hostname(value) { this.#set(HOSTNAME, value); }
    get port() { return part(this.#record, PORT); }
    set port(value) { this.#set(PORT, value); }
    get pathname() { return part(this.#record, PATHNAME); }
    set pathname(value) { this.#set(PATHNAME, value); }
    get search() { return part(this.#record, SEARCH); }
    set search(value) {
      this.#set(SEARCH, value);
      this.#refresh();
    }
    get hash() { return part(this.#record, HASH); }
    set hash(value) { this.#set(HASH, value); }
    get searchParams() {
      if (this.#params === undefined) {
        this.#params = new URLSearchParams();
        this.#refresh();
      }
      return this.#params;
    }
    toString() { return this.#record.href; }
    toJSON() { return this.#record.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }

  expose({ URL, URLSearchParams });
  lockgate.urlRecord = (value) => recordOf(value) ?? parsed(value);
  lockgate.urlProtocol = (record) => part(record, PROTOCOL);
  lockgate.urlHasCredentials = (record) => part(record, USERNAME) !== "" || part(record, PASSWORD) !== "";
  lockgate.searchText = (value) => {
    try { return writePairs(listOf(value)); } catch { return undefined; }
  };
}
