import { deployOver, SERVERS } from "./deployment.ts";
import { dyingSuite } from "./dying.suite.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("http-tcp", deployOver(SERVERS["http-tcp"]), { sockets: true });
dyingSuite("http-tcp");
