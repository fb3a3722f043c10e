import { deployOver, SERVERS } from "./deployment.ts";
import { dyingSuite } from "./dying.suite.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("http-unix", deployOver(SERVERS["http-unix"]), { sockets: true });
dyingSuite("http-unix");
