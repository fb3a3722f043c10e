/**
 * pino, loaded at the first call: most invocations of a function log nothing. CommonJS, since whoever logs cannot wait for
 * an `import()`.
 */
module.exports = () => require("pino");
