/** Writes a graph small enough to read: what there is, by which name, and what matters of it. */
import { WHAT_MATTERS } from "./graph-phrases.ts";
import type { Graph, GraphResource } from "./synth.ts";

/** A longer line is broken: a phrase each. */
const LINE = 130;

/** What a graph was made from, as far as names go: a plan. */
interface Named {
  readonly name: string;
  readonly stage: string;
  readonly services: readonly { readonly name: string }[];
}

/**
 * Resources by service, type and logical name, with the phrases that say what they do. Those of a type that differ in
 * nothing share a line, and what several services have alike stands once. A service's own resources stand without its name,
 * and ARNs, ids and URLs of the graph's resources read as logical names.
 */
export function graphSummary(graph: Graph, plan: Named = { name: "", stage: "", services: [] }): string {
  // SST makes its key for environments once a process.
  const resources = graph.resources.filter(({ custom, name }) => custom && name !== "LambdaEncryptionKey");
  const services = plan.services.map(({ name }) => name).sort((one, other) => other.length - one.length);
  const named = references(resources, `${plan.name}-${plan.stage}-`.toLowerCase());
  const byOwner = Map.groupBy(resources, ({ name }) => services.find((service) => name.startsWith(service)) ?? "");
  const entries = [...byOwner].flatMap(([owner, own]) =>
    entriesOf(owner, own, named).map((entry) => [owner, entry] as const),
  );
  const owners = Map.groupBy(entries, ([, entry]) => entry);
  const sections = Map.groupBy(owners.keys(), (entry) =>
    owners
      .get(entry)!
      .map(([owner]) => owner)
      .sort()
      .join(", "),
  );
  return [...sections]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([owner, own]) => [...(owner === "" ? [] : [`\n# ${owner}`]), ...own.sort()].join("\n"))
    .join("\n");
}

function entriesOf(owner: string, resources: readonly GraphResource[], named: (text: string) => string): string[] {
  const rows = resources.map((resource) => {
    const phrases = phrasesOf(resource).map((phrase) => withoutOwner(owner, named(phrase)));
    return { type: shortType(resource.type), name: resource.name.replaceAll(owner, "") || owner, phrases };
  });
  const alike = Map.groupBy(rows, ({ type, phrases }) => [type, ...phrases].join("\n"));
  return [...alike.values()].map((same) => {
    const { type, phrases } = same[0]!;
    return line(
      `${type} ${same
        .map(({ name }) => name)
        .sort()
        .join(", ")}`,
      phrases,
    );
  });
}

function line(head: string, phrases: readonly string[]): string {
  if (phrases.length === 0) return head;
  const whole = `${head}: ${phrases.join("; ")}`;
  return whole.length <= LINE ? whole : [`${head}:`, ...phrases.map((phrase) => `  ${phrase}`)].join("\n");
}

/** `aws:sqs/queue:Queue` as `sqs.Queue`. */
function shortType(type: string): string {
  const [, service, kind] = /^aws:(\w+)\/\w+:(\w+)$/.exec(type) ?? [];
  return service === undefined ? type.replace(/:.*:/, ".") : `${service}.${kind}`;
}

function phrasesOf({ type, inputs, options: { protect, retainOnDelete } }: GraphResource): string[] {
  const phrases = WHAT_MATTERS[shortType(type)]?.(inputs) ?? [];
  return [...phrases, retainOnDelete && "retained", protect && "protected"].filter((phrase) => !!phrase) as string[];
}

/** `ControlNetQueue`, `ControlNet/calls/` and `controlnet-queue` of ControlNet as `Queue`, `calls/` and `queue`; itself as `it`. */
function withoutOwner(owner: string, text: string): string {
  if (owner === "") return text;
  const own = `${owner}|${owner.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return text
    .replace(new RegExp(`(?<![\\w-])(${own})(?![\\w/-])`, "g"), "it")
    .replace(new RegExp(`(?<=[a-z])${owner}(?!\\w)`, "g"), "")
    .replace(new RegExp(`(?<![\\w-])(${own})[/-]?(?=\\w)`, "g"), "");
}

/** Puts logical names in the place of ARNs, ids and queues' URLs, and leaves the deployment out of other names. */
function references(resources: readonly GraphResource[], prefix: string): (text: string) => string {
  const known = new Map<string, string>();
  for (const { type, name, inputs } of resources) {
    const service = type === "aws:cloudwatch/logGroup:LogGroup" ? "logs" : type.split(/[:/]/)[1];
    const key = `${service} ${inputs.name ?? inputs.bucket}`;
    // Of several with one name the first is meant: a cluster, of what has a cluster's name.
    if (!known.has(key)) known.set(key, name);
  }
  const logical = (service: string, rest: string): string =>
    rest
      .replace(/^log-group:(.+):\*$/, "$1")
      .replace(service === "logs" ? /.+/ : /[\w.-]+/g, (part) => known.get(`${service} ${part}`) ?? part)
      .replace(/^StoreBucket\/(?=\w)/, "");
  return (text) =>
    text
      .replace(/arn:aws:(\w+):[\w-]*:\d*:([^\s"]*)/g, (_, service: string, rest: string) => logical(service, rest))
      .replace(/<id of (\w+)>/g, "$1")
      .replaceAll(prefix, "");
}
