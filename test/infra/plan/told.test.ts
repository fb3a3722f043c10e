import { expect, it } from "vitest";
import { faultLine } from "#shared/config/faults.ts";
import { ACCEPTED } from "../config/accepted.ts";
import { planned, SEED, toldOf } from "./planned.ts";
import { isPrice, TOLD } from "./told.ts";

interface Mark {
  line: number;
  severity: string;
  said: string;
}

function marksIn(text: string): Mark[] {
  return text.split("\n").flatMap((content, index) =>
    [...content.matchAll(/#([!?]) (.*?)(?= #[!?] |$)/g)].flatMap(([, sign, said]) =>
      said!.split(" & ").map((part) => ({
        line: index + 1,
        severity: sign === "!" ? "error" : "warning",
        said: part,
      })),
    ),
  );
}

it.each(TOLD.map((row) => ({ rule: row[0], text: row[1], services: row[2] ?? SEED })))(
  "tells of $rule, at its line, and what to write",
  ({ text, services }) => {
    const marks = marksIn(text);
    const refused = marks.some(({ severity }) => severity === "error");
    // Of a file that is refused, warnings of other lines are of no interest.
    const told = toldOf(services, text).filter(
      ({ severity, line, message }) =>
        !isPrice(message) && (severity === "error" || !refused || marks.some((mark) => mark.line === line)),
    );
    const places = (list: readonly { line: number; severity: string }[]) =>
      list.map(({ line, severity }) => `${line} ${severity}`);
    expect(places(told), told.map(faultLine).join("\n")).toEqual(places(marks));
    for (const [index, { said }] of marks.entries()) expect(faultLine(told[index]!)).toContain(said);
  },
);

it("tells everything at once", () => {
  const told = toldOf(
    SEED,
    "services:\n  SDXLControlNetService: { instance_type: gpu.l5.1 }\n  ControlNet: { instance_type: cpu.8 }\nlabels: [{ key: aws:x, value: y }]",
  );
  expect(told.filter(({ severity }) => severity === "error").map(({ line, column }) => [line, column])).toEqual([
    [2, 43],
    [3, 32],
    [4, 10],
  ]);
});

it("names the month's price of what always runs", () => {
  const [price] = toldOf(SEED, "services:\n  SDXLControlNetService:\n    scaling: { min_replicas: 2 }");
  expect(faultLine(price!)).toContain(
    "config-file.yaml:3:30: warning: services.SDXLControlNetService.scaling.min_replicas: SDXLControlNetService always has 2 replicas, 2 g6.xlarge: about $1175 a month",
  );
});

/** What the config file may say and a deployment cannot be: the entry is a function. */
const NOT_DEPLOYABLE: Record<string, string> = {
  "anchors and merge keys": "SDXLControlNetService wants nvidia-l4, and cpu.1 has no GPU; take gpu.l4.1",
  "what only AWS has, for a service": "ControlNet is the entry and must be a function",
  "a function with an accelerator": "ControlNet is the entry and must be a function",
  "a shared GPU": "ControlNet is the entry and must be a function",
  "a list of workers": "ControlNet is the entry and must be a function",
  durations: "ControlNet is the entry and must be a function",
};

it.each(ACCEPTED)("plans %s, or says why not", (what, text) => {
  const reason = NOT_DEPLOYABLE[what];
  if (reason === undefined) expect(planned(SEED, text).plan.services).toHaveLength(2);
  else expect(() => planned(SEED, text)).toThrow(reason);
});
