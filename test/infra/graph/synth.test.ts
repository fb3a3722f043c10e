import { describe, expect, it } from "vitest";
import { resourceOf } from "../graph.ts";
import { graphSummary } from "../graph-summary.ts";
import { synthesize } from "../synth.ts";

/** A function that is told of a queue, and may send to it. */
function program() {
  const dlq = new sst.aws.Queue("Dead");
  const queue = new sst.aws.Queue("Jobs", { visibilityTimeout: "60 seconds", dlq: dlq.arn });
  const fn = new sst.aws.Function("Edges", {
    handler: "functions/handlers/controlnet.handler",
    runtime: "nodejs22.x",
    nodejs: { minify: true, splitting: true, install: ["sharp"] },
    environment: { QUEUE: queue.url },
    permissions: [{ actions: ["sqs:SendMessage"], resources: [queue.arn] }],
    logging: false,
  });
  new aws.cloudwatch.MetricAlarm("Age", {
    comparisonOperator: "GreaterThanThreshold",
    evaluationPeriods: 1,
    namespace: "AWS/SQS",
    metricName: "ApproximateAgeOfOldestMessage",
    dimensions: { QueueName: queue.nodes.queue.name },
    threshold: 60,
  });
  return { arn: fn.arn };
}

describe("a synthesized program", () => {
  it("is a graph with what SST and the provider made of it", async () => {
    const graph = await synthesize(program);
    expect(graph.error).toBeUndefined();
    expect(graphSummary(graph)).toMatchInlineSnapshot(`
      "cloudwatch.MetricAlarm Age:
        metricName ApproximateAgeOfOldestMessage
        dimensions {QueueName: tandem-test-JobsQueue-bdvfbzta}
        > 60 in 1
      iam.Role EdgesRole: by lambda.amazonaws.com, AWS: root; sqs:SendMessage: JobsQueue
      lambda.Function EdgesFunction: nodejs22.x x86_64; 1024 MB, 20 s; variables QUEUE
      s3.BucketObjectv2 EdgesCode
      sqs.Queue DeadQueue: invisible 30 s
      sqs.Queue JobsQueue: invisible 60 s; after 3 to DeadQueue"
    `);
    const queue = resourceOf(graph, "aws:sqs/queue:Queue", "JobsQueue");
    expect(resourceOf(graph, "aws:cloudwatch/metricAlarm:MetricAlarm").dependencies).toEqual([queue.urn]);
    expect(resourceOf(graph, "sst:aws:Queue", "Jobs").urn).toBe(queue.parent);
    expect(queue.options.ignoreChanges).toEqual(["name"]);
    expect(graph.outputs.arn).toBe("arn:aws:lambda:us-east-1:123456789012:function:tandem-test-EdgesFunction-bdvfbzta");
    expect(graph.cliCalls.map(({ method }) => method)).toContain("Runtime.Build");
  });

  it("names what only AWS knows", async () => {
    const graph = await synthesize(() => {
      const subnet = new aws.ec2.Subnet("A", { vpcId: "vpc-1" });
      new aws.ec2.Instance("I", { subnetId: subnet.id, instanceType: "t3.micro", tags: { of: subnet.ownerId } });
    });
    expect(resourceOf(graph, "aws:ec2/instance:Instance").inputs).toMatchObject({
      subnetId: "<id of A>",
      tags: { of: "<ownerId of A>" },
    });
  });

  it("really bundles its functions where it is asked to", async () => {
    const graph = await synthesize(program, { bundle: true });
    expect(graph.error).toBeUndefined();
    const bad = await synthesize(
      () => void new sst.aws.Function("Edges", { handler: "functions/handlers/missing.handler" }),
      { bundle: true },
    );
    expect(String(bad.error)).toContain('Could not resolve "functions/handlers/missing.ts"');
  });

  it("has no function's code in development", async () => {
    const graph = await synthesize(program, { dev: true });
    expect(graph.error).toBeUndefined();
    expect(resourceOf(graph, "aws:lambda/function:Function").inputs.handler).toBe("bootstrap");
    expect(graph.cliCalls.map(({ method }) => method)).toContain("Runtime.AddTarget");
  });

  it("tells what it threw, at once or later, and the next one starts clean", async () => {
    const early = await synthesize(() => void new sst.aws.Queue("two words"));
    expect(String(early.error)).toContain('Invalid component name "two words"');
    const late = await synthesize(() =>
      $output("x").apply(() => {
        throw new Error("later");
      }),
    );
    expect(String(late.error)).toContain("later");
    expect(graphSummary(await synthesize(() => ({})))).toBe("");
  });
});
