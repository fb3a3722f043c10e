declare function loadPino(): typeof import("pino");
export = loadPino;
