/**
 * pino, loaded at the first call: most invocations of a function log nothing. With `require`, since whoever logs cannot wait
 * for an `import()`.
 */
export function loadPino(): typeof import("pino") {
  const { createRequire } = process.getBuiltinModule("node:module");
  return createRequire(import.meta.url)("pino") as typeof import("pino");
}
