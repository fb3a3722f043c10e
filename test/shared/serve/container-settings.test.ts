import { expect, it } from "vitest";
import { readContainerSettings } from "#shared/serve/container-settings.ts";

const queue = { transport: "sqs", queueUrl: "https://sqs.eu-west-1.amazonaws.com/1/q", storeUrl: "s3://bucket" };
const read = (env: Record<string, string>) => readContainerSettings({ TANDEM_SERVICE: "A", ...env });
const services = JSON.stringify({ A: queue, B: { transport: "http", url: "http://b:3000" } });

it("has defaults for all but the service", () => {
  expect(read({ TANDEM_RUN_DIR: "/run/x" })).toEqual({
    service: "A",
    workers: undefined,
    traffic: {},
    locations: {},
    queue: undefined,
    queueSettings: undefined,
    model: undefined,
    port: 3000,
    graceSeconds: 110,
    runFolder: "/run/x",
  });
});

it("takes what a plan writes", () => {
  const settings = read({
    TANDEM_WORKERS: '[{"gpus":[0,1]},{}]',
    TANDEM_SERVICES: services,
    TANDEM_OVERRIDES: '{"timeout":700,"maxConcurrency":20,"concurrency":2,"maxReceiveCount":3,"visibilityTimeout":60}',
    TANDEM_MODEL_URL: "s3://models/sdxl/",
    TANDEM_MODEL_DIR: "/models",
    TANDEM_GRACE_SECONDS: "30",
  });
  expect(settings).toMatchObject({
    workers: [{ gpus: [0, 1] }, { gpus: [] }],
    traffic: { timeout: 700, maxConcurrency: 20, concurrency: 2 },
    queue,
    queueSettings: { maxReceiveCount: 3, visibilityTimeout: 60 },
    model: { url: "s3://models/sdxl/", folder: "/models" },
    graceSeconds: 30,
  });
  expect(Object.keys(settings.locations)).toEqual(["A", "B"]);
});

it.each([
  ["", "", 3000],
  ["8080", "", 8080],
  ["0", "", 0],
  ["", services, undefined],
  ["0", services, undefined],
  ["8080", services, 8080],
])("with PORT=%j and services %j listens on %j", (PORT, TANDEM_SERVICES, port) => {
  expect(read({ PORT, TANDEM_SERVICES }).port).toBe(port);
});

it("asks the queue unless both of its settings are given", () => {
  expect(read({ TANDEM_OVERRIDES: '{"visibilityTimeout":60}' }).queueSettings).toBeUndefined();
});

it("says every fault, with its variable", () => {
  const env = {
    TANDEM_SERVICE: "",
    TANDEM_WORKERS: "[]",
    TANDEM_OVERRIDES: '{"timeout":-1,"speed":1}',
    TANDEM_MODEL_URL: "http://elsewhere/",
    TANDEM_SERVICES: "{",
    PORT: "99999",
    TANDEM_GRACE_SECONDS: "soon",
  };
  const faults = [...Object.keys(env), "TANDEM_OVERRIDES: timeout", "speed", "TANDEM_MODEL_DIR"];
  for (const fault of faults) expect(() => read(env)).toThrow(fault);
});
