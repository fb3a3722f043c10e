import { deployAsFunctions } from "./lambda-deployment.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("lambda, answers in one piece", deployAsFunctions(false), {
  sockets: false,
  invoked: true,
  whole: true,
});
