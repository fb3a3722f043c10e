import { describe, expect, it } from "vitest";
import { FlagError, namesGiven, type PlanFlags, withFlags } from "#infra/plan/flags.ts";
import { parseConfigFile } from "#shared/config/load.ts";

const services = ["SDXLControlNetService", "ControlNet"];
const file =
  "envs: [{ name: A, value: file }]\nservices:\n  ControlNet: { instance_type: cpu.1, scaling: { min_replicas: 1, max_replicas: 5 } }";
const flagged = (flags: PlanFlags) => withFlags(parseConfigFile(file).config, flags, services);

describe("flags", () => {
  it("are the entry's, as BentoML's are, or those of the service that they name", () => {
    const config = flagged({
      scalingMin: ["0", "SDXLControlNetService=2"],
      scalingMax: ["3"],
      instanceType: ["SDXLControlNetService=gpu.l4.1"],
    });
    expect(config.services).toEqual({
      ControlNet: { instance_type: "cpu.1", scaling: { min_replicas: 0, max_replicas: 3 } },
      SDXLControlNetService: { instance_type: "gpu.l4.1", scaling: { min_replicas: 2 } },
    });
  });

  it("give variables to every service or to one, over the file's; values may have = in them", () => {
    const config = flagged({ env: ["A=flag", "B=x=y", "ControlNet=C=z", "ControlNet=D"] });
    expect(config.envs).toEqual([
      { name: "A", value: "flag" },
      { name: "B", value: "x=y" },
      { name: "ControlNet", value: "D" },
    ]);
    expect(config.services?.ControlNet?.envs).toEqual([{ name: "C", value: "z" }]);
    expect(namesGiven({ env: ["A=flag", "ControlNet=C=z"] }, services)).toEqual(["A"]);
  });

  it("leave the file as it was where there are none", () => {
    expect(flagged({})).toEqual(parseConfigFile(file).config);
    expect(flagged({ name: "other" }).name).toBe("other");
  });

  it.each<[PlanFlags, string]>([
    [{ scalingMin: ["-1"] }, "--scaling-min -1: must be a whole number from 0"],
    [{ scalingMax: ["0"] }, "--scaling-max 0: must be a whole number from 1"],
    [{ scalingMin: ["two"] }, "--scaling-min two: must be a whole number from 0"],
    [
      { scalingMin: ["SDXLControlNetServic=1"] },
      "no service SDXLControlNetServic is deployed; did you mean SDXLControlNetService?",
    ],
    [{ env: ["A"] }, "--env A: must be NAME=value"],
    [{ env: ["1A=x"] }, "--env 1A=x: 1A is no name of a variable"],
    [{ name: "No Name" }, "--name No Name: must be small letters, digits and hyphens"],
  ])("%j is refused", (flags, message) => {
    expect(() => flagged(flags)).toThrow(FlagError);
    expect(() => flagged(flags)).toThrow(message);
  });
});
