import { deployAsFunctions } from "./lambda-deployment.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("lambda", deployAsFunctions(true), { sockets: false, invoked: true });
