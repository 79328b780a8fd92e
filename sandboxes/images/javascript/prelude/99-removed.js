// What the engine has and a sandbox must not: shared memory, and what shows when the collector ran (a replay need not
// collect at the same moment).
() => {
  "use strict";
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
  delete globalThis.FinalizationRegistry;
  delete globalThis.WeakRef;
}
