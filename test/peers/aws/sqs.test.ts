import { queueSuite } from "../../queue/queue.suite.ts";
import { startElasticMq } from "./elasticmq.ts";
import { startMoto } from "./moto.ts";

queueSuite("ElasticMQ", startElasticMq, {
  keepsDeadLetters: "ElasticMQ 1.7.1 takes no empty RedrivePolicy; SQS does",
});
queueSuite("moto", startMoto);
