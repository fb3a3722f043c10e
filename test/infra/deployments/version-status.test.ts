import type { LambdaClient } from "@aws-sdk/client-lambda";
import { expect, it } from "vitest";
import { statusText } from "#infra/cli/deployment.ts";
import { versionStatuses } from "#infra/deployments/version-status.ts";
import { planned, SEED } from "../plan/planned.ts";

const { plan } = planned(
  SEED,
  "canary:\n  route_type: random\n  versions: { a: { weight: 10 }, b: { weight: 5 }, c: { weight: 1 } }\n",
);
const version = (label: string) => ({ label, weight: 1, functionName: label, fingerprint: `${label}1` });
const split = JSON.stringify({ routeType: "random", versions: [version("a"), version("b")] });

/** Lambda with one function, which has these variables. */
function lambda(send: () => Promise<unknown>): LambdaClient {
  return { send } as unknown as LambdaClient;
}

it("says which versions get calls, and since when and why others do not", async () => {
  const asked: string[] = [];
  const statuses = await versionStatuses(
    plan,
    lambda(async () => ({ Environment: { Variables: { TANDEM_CANARY: split } } })),
    async (key) => {
      asked.push(key);
      return key.includes("/b/") ? '{"alarm":"x","reason":"7 % failed","at":"2026-11-25T12:00:00.000Z"}' : undefined;
    },
  );
  expect(asked).toEqual(["tandem/canary-off/a/a1", "tandem/canary-off/b/b1"]);
  expect(statuses).toEqual([
    { label: "a", weight: 10, state: "on" },
    { label: "b", weight: 5, state: "off", since: "2026-11-25T12:00:00.000Z", reason: "7 % failed" },
    { label: "c", weight: 1, state: "unknown" },
  ]);
  const deployment = {
    version: 1 as const,
    name: "x",
    stage: "dev",
    region: "eu-west-1",
    url: "https://x",
    entry: "E",
    store: "s",
    changedAt: undefined,
  };
  const services = [{ name: "ControlNet", version: "a", state: "running" }];
  const text = statusText({ deployment, plan, services, versions: statuses });
  expect(text).toMatch(/^ControlNet \(a\) +running/m);
  expect(text).toContain("version a gets 10 % of the calls\n");
  expect(text).toContain("version b gets no calls since 2026-11-25T12:00:00.000Z: 7 % failed; deploy it anew\n");
});

it("knows of none where there are none, nor where the function is gone", async () => {
  const gone = lambda(() => Promise.reject(Object.assign(new Error("gone"), { name: "ResourceNotFoundException" })));
  const nothing = async () => undefined;
  expect(await versionStatuses({ ...plan, canary: undefined }, gone, nothing)).toEqual([]);
  const states = (await versionStatuses(plan, gone, nothing)).map(({ state }) => state);
  expect(states).toEqual(["unknown", "unknown", "unknown"]);
  const refused = lambda(() => Promise.reject(new Error("no credentials")));
  await expect(versionStatuses(plan, refused, nothing)).rejects.toThrow("no credentials");
});
