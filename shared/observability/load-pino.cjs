/**
 * pino, loaded at the first call: most invocations of a function log nothing. CommonJS, since a logger cannot wait for an
 * `import()`, and so a bundle runs nothing of it before it is called.
 */
module.exports = () => require("pino");
