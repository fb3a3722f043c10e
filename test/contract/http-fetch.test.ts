import { deployOver, SERVERS } from "./deployment.ts";
import { transportSuite } from "./transport.suite.ts";

// A callee that dies is the client's affair, whichever way its frames were read: see http-tcp and http-unix.
transportSuite("http-fetch", deployOver(SERVERS["http-fetch"]), { sockets: true });
