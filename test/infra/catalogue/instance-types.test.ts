import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EC2_TYPES } from "#infra/catalogue/ec2-types.ts";
import {
  type AddedInstanceType,
  Catalogue,
  catalogueOf,
  type InstanceType,
  type NoInstanceType,
  type ResourceNeeds,
} from "#infra/catalogue/instance-types.ts";
import { reservableMemory } from "#infra/catalogue/named-types.ts";
import { parseConfigFile } from "#shared/config/load.ts";

const catalogue = new Catalogue();
const nameOf = (type: InstanceType | NoInstanceType): string => (type.kind === "none" ? type.message : type.name);

describe("the catalogue", () => {
  it.each([
    ["cpu.1", { vcpu: 0.5, memory: 2048, functionMemory: 2048, container: { cpu: 512, memory: 2048 } }],
    ["cpu.4", { vcpu: 2, memory: 8192, functionMemory: 8192 }],
    ["cpu.8", { functionMemory: undefined, container: { cpu: 4096, memory: 16384 } }],
    ["gpu.t4.1", { ec2: "g4dn.xlarge", gpus: 1, gpuType: "nvidia-tesla-t4" }],
    ["gpu.l4.1", { ec2: "g6.xlarge", vcpu: 4, memory: 16384, gpus: 1, pricePerHour: 0.8048, localStorage: 250 }],
    ["gpu.l4.4", { ec2: "g6.12xlarge", gpus: 4 }],
    ["gpu.l40s.1", { ec2: "g6e.xlarge", gpuMemory: 45776 }],
    ["gpu.h100.1", { ec2: "p5.4xlarge" }],
    ["g6.2xlarge", { ec2: "g6.2xlarge", gpuType: "nvidia-l4" }],
  ])("has %s", (name, expected) => {
    expect(catalogue.find(name)).toMatchObject(expected);
  });

  it.each([
    ["gpu.a100.1", "AWS sells nvidia-tesla-a100 by 8 a machine", /gpu\.l40s\.1.*or take gpu\.a100\.8/],
    ["gpu.l4.2", "AWS sells nvidia-l4 by 1, 4 and 8 a machine", /^take gpu\.l4\.1, gpu\.l4\.4 or gpu\.l4\.8$/],
    ["gpu.l4", "no such instance type", /did you mean gpu\.l4\.1\?/],
    ["g6.xlrage", "no such instance type", /did you mean g6\.xlarge\?/],
    ["cpu.16", "no such instance type", /there are cpu\.1, cpu\.2, cpu\.4 and cpu\.8$/],
    ["toString", "no such instance type", /types with one GPU are gpu\.t4\.1/],
  ])("refuses %s, and says what there is", (name, message, hint) => {
    const refused = catalogue.find(name);
    expect(refused).toMatchObject({ kind: "none", hint: expect.stringMatching(hint) });
    expect(nameOf(refused)).toContain(message);
  });

  it("has what every machine needs, each machine once", () => {
    expect(new Set(EC2_TYPES.map(({ ec2 }) => ec2)).size).toBe(EC2_TYPES.length);
    for (const type of catalogue.machines) {
      expect(type.priced === undefined, type.ec2).toBe(type.pricePerHour === undefined);
      expect(type.reservableMemory).toBeLessThan(type.memory * 0.93);
    }
  });

  it("keeps memory from tasks: what the kernel takes, and what is reserved for ECS", () => {
    expect(reservableMemory(16384)).toBe(14899);
  });

  it.each<[ResourceNeeds, string]>([
    [{}, "cpu.1"],
    [{ cpu: 0.4, memory: 1024 }, "cpu.1"],
    [{ cpu: 0.6 }, "cpu.2"],
    [{ memory: 9000 }, "cpu.8"],
    [{ gpu: 1 }, "gpu.t4.1"],
    [{ gpu: 0.5 }, "gpu.t4.1"],
    [{ gpuType: "nvidia-l4" }, "gpu.l4.1"],
    [{ gpu: 1, gpuType: "nvidia-l4", memory: 15000 }, "g6.2xlarge"],
    [{ gpu: 2, gpuType: "nvidia-l4" }, "gpu.l4.4"],
    [{ gpu: 1, gpuType: "nvidia-tesla-h100" }, "gpu.h100.1"],
    [{ gpu: 1, gpuType: "nvidia-tesla-a100" }, "gpu.a100.8"],
    [{ cpu: 8 }, "no instance type has 8 cores"],
    [{ gpu: 16, gpuType: "nvidia-l4" }, "no instance type has 16 nvidia-l4"],
    [{ gpu: 1, gpuType: "amd-mi300x" }, "amd-mi300x: no machine of AWS's has it"],
  ])("picks the smallest for %o: %s", (needs, name) => {
    expect(nameOf(catalogue.infer(needs))).toBe(name);
  });

  it("finds the cheapest machine with a count of GPUs", () => {
    expect(nameOf(catalogue.withGpus("nvidia-a10g", 4))).toBe("gpu.a10g.4");
    expect(nameOf(catalogue.withGpus("nvidia-a10g", 3))).toBe(
      "3 nvidia-a10g: AWS sells nvidia-a10g by 1, 4 and 8 a machine",
    );
  });

  it("takes what users add, which may replace what is there", () => {
    const big: AddedInstanceType = {
      name: "gpu.l4.big",
      ec2: "g6.4xlarge",
      vcpu: 16,
      memory: 65536,
      gpus: 1,
      gpuType: "nvidia-l4",
    };
    const own = new Catalogue([
      { ...big, pricePerHour: 1.1 },
      { ...big, name: "gpu.l4.1" },
      { ...big, name: "gpu.v100.1", ec2: "p3.2xlarge", gpuType: "nvidia-tesla-v100" },
    ]);
    expect(own.find("gpu.l4.big")).toMatchObject({ pricePerHour: 1.1, priced: "config-file.yaml", localStorage: 600 });
    expect(own.find("gpu.l4.1")).toMatchObject({ ec2: "g6.4xlarge", pricePerHour: 1.3232, gpuMemory: 22888 });
    expect(nameOf(new Catalogue([{ ...big, pricePerHour: 0.5 }]).withGpus("nvidia-l4", 1))).toBe("gpu.l4.big");
    const h100 = { ...big, name: "gpu.h100.2", gpus: 2, gpuType: "nvidia-tesla-h100" } as const;
    expect(nameOf(new Catalogue([h100]).withGpus("nvidia-h100-80gb", 2))).toBe("gpu.h100.2");
    expect(own.infer({ gpuType: "nvidia-tesla-v100" })).toMatchObject({
      name: "gpu.v100.1",
      pricePerHour: undefined,
      priced: undefined,
      localStorage: 0,
    });
  });

  it("reads what a config file adds", () => {
    const text =
      "aws: { instance_types: [{ name: gpu.x.1, ec2: x1.large, vcpu: 2, memory: 8Gi, gpus: 1, gpu_type: nvidia-l4, gpu_memory: 24Gi, price_per_hour: 2 }] }";
    expect(catalogueOf(parseConfigFile(text).config).find("gpu.x.1")).toMatchObject({
      ec2: "x1.large",
      memory: 8192,
      gpuMemory: 24576,
      pricePerHour: 2,
      reservableMemory: 7321,
    });
  });

  it("stands in docs/instance-types.md as it is", () => {
    const document = readFileSync(fileURLToPath(new URL("../../../docs/instance-types.md", import.meta.url)), "utf8");
    const rows = [...document.matchAll(/^\| `([cg]pu\.[^`]+)` \| (.*) \|$/gm)].map(([, name, cells]) => [name, cells]);
    expect(rows).toEqual(
      catalogue.types.map((type) => [
        type.name,
        (type.kind === "cpu"
          ? [type.vcpu, type.memory, type.functionMemory ?? "—"]
          : [
              type.ec2,
              `${type.gpus} x \`${type.gpuType}\``,
              type.vcpu,
              type.memory,
              type.reservableMemory,
              type.pricePerHour ?? "unknown",
            ]
        ).join(" | "),
      ]),
    );
  });
});
