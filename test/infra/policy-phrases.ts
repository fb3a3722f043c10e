/** Policies of IAM in few words. */
import type { Inputs } from "./platform.ts";

/** Like JSON, with fewer quotes. */
export function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(" ");
  if (value === null || typeof value !== "object") return String(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined && text(member) !== "");
  return `{${members.map(([key, member]) => `${key}: ${text(member)}`).join(", ")}}`;
}

interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource?: string | string[];
  readonly Principal?: unknown;
  readonly Condition?: unknown;
}

/** A policy, as text or as an object. */
function statementsOf(policy: unknown): Statement[] {
  const document = (typeof policy === "string" ? JSON.parse(policy) : policy) as { Statement: Statement } | undefined;
  return document === undefined ? [] : [document.Statement].flat();
}

/** A phrase a statement: `not sqs:* by * if {Bool: {aws:SecureTransport: false}} on JobsQueue`. */
export function statements(policy: unknown): string[] {
  return statementsOf(policy).map(({ Effect, Action, Resource, Principal, Condition }) => {
    const by = Principal === undefined ? "" : ` by ${text(Principal)}`;
    const when = Condition === undefined ? "" : ` if ${text(Condition)}`;
    const on = Resource === undefined ? "" : ` on ${[Resource].flat().join(" ")}`;
    return `${Effect === "Allow" ? "" : "not "}${actions([Action].flat())}${by}${when}${on}`;
  });
}

/** `sqs:SendMessage` and `sqs:ReceiveMessage` as `sqs:ReceiveMessage SendMessage`. */
function actions(names: readonly string[]): string {
  return [...Map.groupBy([...names].sort(), (name) => name.replace(/:.*/, ":"))]
    .map(([service, all]) => service + all.map((name) => name.replace(service, "")).join(" "))
    .join(" ");
}

/** What a role may do, targets with the same actions in one phrase. Listing a bucket below a prefix counts as the prefix's. */
export function grants(policies: readonly unknown[]): string[] {
  const allowed = policies.flatMap(statementsOf).flatMap(({ Effect, Action, Resource, Condition }) => {
    const { "s3:prefix": prefix, ...others } = (Condition as Record<string, Inputs>)?.StringLikeIfExists ?? {};
    const below = typeof prefix === "string" && Object.keys(others).length === 0 ? `/${prefix}` : undefined;
    const when = Condition === undefined || below ? "" : ` if ${text(Condition)}`;
    return [Resource ?? ""].flat().map((resource) => ({
      target: `${Effect === "Allow" ? "" : "not "}${resource}${below ?? ""}${when}`,
      may: [Action].flat(),
    }));
  });
  const byTarget = [...Map.groupBy(allowed, ({ target }) => target)].map(
    ([target, rows]) => [target, actions(rows.flatMap(({ may }) => may))] as const,
  );
  return [...Map.groupBy(byTarget, ([, may]) => may)].map(
    ([may, rows]) => `${may}: ${rows.map(([target]) => target).join(" ")}`,
  );
}
