import { deployLocally } from "./deployment.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("local", deployLocally, { sockets: false });
