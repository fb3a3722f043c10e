import { deployOverQueues } from "./queue-deployment.ts";
import { transportSuite } from "./transport.suite.ts";

transportSuite("sqs", deployOverQueues, { sockets: false, queued: true });
