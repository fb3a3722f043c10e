import { expect, it } from "vitest";
import { startEstimate } from "#infra/plan/start-estimate.ts";

const facts = { warmPool: 0, ami: undefined, modelUrl: "s3://weights/sdxl/", managed: false };

it("has a pull of the image unless the AMI has it, also from a warm pool; weights of the AMI are not fetched", () => {
  const cold = startEstimate(facts);
  expect(cold).toMatchObject({ boot: 90, pull: 103, load: 26, total: 219 });
  const warm = startEstimate({ ...facts, warmPool: 1 });
  expect(warm).toMatchObject({ boot: 40, pull: cold.pull, load: cold.load });
  const baked = startEstimate({ ...facts, ami: "ami-0123456789abcdef0" });
  expect(baked).toMatchObject({ boot: 90, pull: 0, load: 14, total: 104 });
  expect(baked.basis).toContain("are in the AMI");
});
