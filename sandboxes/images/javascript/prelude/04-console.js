// console: each call is one log line with a level; long values are bounded, groups indent.
(lockgate) => {
  "use strict";
  const { expose, inspect, native, primordials } = lockgate;
  const { String, getOwnPropertyDescriptor, indexOf, keys, repeat, slice, trunc } = primordials;
  const DEBUG = 1, INFO = 2, WARN = 3, ERROR = 4, LOG_LINE_LIMIT = 1;
  let indent = "";
  let counts = { __proto__: null }, timers = { __proto__: null };

  const word = (value, room) => (typeof value === "string" ? value : inspect(value, room));

  // %s %d %i %f %j %o %O %c and %% of the first argument, as Node has them.
  const directive = (kind, value, room) => {
    switch (kind) {
      case "s": return word(value, room);
      case "d": case "f": return typeof value === "object" ? "NaN" : String(+value);
      case "i": return typeof value === "object" ? "NaN" : String(trunc(+value));
      case "j": case "o": case "O": return inspect(value, room);
      default: return "";
    }
  };

  const formatted = (values, room) => {
    const format = values[0];
    let text = "", used = 1, from = 0;
    for (let at; used < values.length && (at = indexOf(format, "%", from)) >= 0;) {
      const kind = slice(format, at + 1, at + 2);
      if (kind === "%") text += slice(format, from, at + 1);
      else if (kind !== "" && indexOf("sdifjoOc", kind) >= 0) text += slice(format, from, at) + directive(kind, values[used++], room);
      else text += slice(format, from, at + 2);
      from = at + 2;
    }
    text += slice(format, from);
    for (; used < values.length; used++) text += " " + word(values[used], room);
    return text;
  };

  const line = (values) => {
    const room = native.limit(LOG_LINE_LIMIT);
    if (values.length === 0) return "";
    if (typeof values[0] === "string" && values.length > 1) return formatted(values, room);
    let text = word(values[0], room);
    for (let i = 1; i < values.length && text.length <= room; i++) text += " " + word(values[i], room);
    return text;
  };

  const indented = (text) => {
    let out = "", from = 0;
    for (let at; (at = indexOf(text, "\n", from)) >= 0; from = at + 1) out += indent + slice(text, from, at + 1);
    return out + indent + slice(text, from);
  };

  const write = (level, text) => native.log(level, indent === "" ? text : indented(text));
  const label = (name) => (name === undefined ? "default" : String(name));
  const seconds = (from) => (native.elapsed() - from) + "ms";

  const MAX_ROWS = 200, MAX_COLUMNS = 20;
  const padded = (text, width) => text + repeat(" ", width > text.length ? width - text.length : 0);
  const cell = (value) => (typeof value === "string" ? value : inspect(value, 200));

  // Rows of an array or object as columns of text: { rows: list of { column: text }, widths: { column: number } }.
  const collect = (value) => {
    const rows = { __proto__: null }, widths = { __proto__: null, "(index)": 7 }, names = keys(value);
    let count = 0, columns = 0;
    for (; count < names.length && count < MAX_ROWS; count++) {
      const row = { __proto__: null, "(index)": names[count] };
      const item = getOwnPropertyDescriptor(value, names[count])?.value;
      const fields = typeof item === "object" && item !== null ? keys(item) : undefined;
      if (fields === undefined) row["Value"] = cell(item);
      for (let i = 0; fields !== undefined && i < fields.length; i++) row[fields[i]] = cell(getOwnPropertyDescriptor(item, fields[i])?.value);
      rows[count] = row;
      const used = keys(row);
      for (let i = 0; i < used.length; i++) {
        if (widths[used[i]] === undefined && ++columns > MAX_COLUMNS) continue;
        const longest = used[i].length > row[used[i]].length ? used[i].length : row[used[i]].length;
        if (!(widths[used[i]] >= longest)) widths[used[i]] = longest;
      }
    }
    return { __proto__: null, rows, count, left: names.length - count, widths };
  };

  const tabulate = (value) => {
    if (typeof value !== "object" || value === null) return inspect(value, native.limit(LOG_LINE_LIMIT));
    const { rows, count, left, widths } = collect(value), columns = keys(widths);
    const row = (cells) => {
      let text = "";
      for (let i = 0; i < columns.length; i++) text += (i === 0 ? "" : " | ") + padded(cells(columns[i]), widths[columns[i]]);
      return text;
    };
    let text = row((column) => column);
    text += "\n" + repeat("-", text.length);
    for (let i = 0; i < count; i++) text += "\n" + row((column) => rows[i][column] ?? "");
    return left > 0 ? text + "\n... " + left + " more rows" : text;
  };

  const group = (values) => {
    if (values.length > 0) write(INFO, line(values));
    if (indent.length < 40) indent += "  ";
  };

  expose({
    console: {
      debug(...values) { write(DEBUG, line(values)); },
      log(...values) { write(INFO, line(values)); },
      info(...values) { write(INFO, line(values)); },
      warn(...values) { write(WARN, line(values)); },
      error(...values) { write(ERROR, line(values)); },
      trace(...values) { write(ERROR, "Trace: " + line(values) + "\n" + lockgate.cleanStack(lockgate.here())); },
      dir(value) { write(INFO, inspect(value, native.limit(LOG_LINE_LIMIT))); },
      table(value) { write(INFO, tabulate(value)); },
      assert(condition, ...values) { if (!condition) write(ERROR, values.length === 0 ? "Assertion failed" : "Assertion failed: " + line(values)); },
      group(...values) { group(values); },
      groupCollapsed(...values) { group(values); },
      groupEnd() { indent = slice(indent, 2); },
      count(name) { write(INFO, label(name) + ": " + ((counts[label(name)] = (counts[label(name)] ?? 0) + 1))); },
      countReset(name) { delete counts[label(name)]; },
      time(name) { timers[label(name)] = native.elapsed(); },
      timeLog(name, ...values) { write(INFO, label(name) + ": " + seconds(timers[label(name)] ?? 0) + " " + line(values)); },
      timeEnd(name) {
        write(INFO, label(name) + ": " + seconds(timers[label(name)] ?? 0));
        delete timers[label(name)];
      },
    },
  });

  // A session's next program begins with a console of its own.
  lockgate.forgetConsole = () => {
    indent = "";
    counts = { __proto__: null };
    timers = { __proto__: null };
  };

  // Errors nobody can catch any more are logged, as a browser does: the program goes on.
  lockgate.uncaught = (error) => native.log(ERROR, "Uncaught " + inspect(error, native.limit(LOG_LINE_LIMIT)));
}
