/** sharp, in a module of ours: what is CommonJS can be loaded later without a file that a start has to read. */
export { default } from "sharp";
