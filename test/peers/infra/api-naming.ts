/** From the names of Pulumi's inputs to those of AWS's APIs. */

// biome-ignore lint/suspicious/noExplicitAny: inputs of any resource
export type Inputs = Record<string, any>;
/** One call; `mocked` says what in its answer the mock stood in for, by path. */
export interface Call {
  readonly service: string;
  readonly operation: string;
  readonly params: Inputs;
  readonly mocked?: Record<string, string>;
}
/** The calls that make a resource, of its inputs and what the mock answered. */
export type Mapping = (inputs: Inputs, outputs: Inputs) => Call | Call[];

const pascal = (key: string): string => key[0]!.toUpperCase() + key.slice(1);

/** Without what is not set, at any depth. */
export function set<T>(value: T): T {
  if (Array.isArray(value)) return value.filter((member) => member !== undefined && member !== null).map(set) as T;
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined && member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, set(member)])) as T;
}

/** The same structure in the names of AWS's older APIs: `FirstLarge`, but for what `renamed` says. */
export function inPascal(value: unknown, renamed: Record<string, string> = {}): unknown {
  if (Array.isArray(value)) return value.map((member) => inPascal(member, renamed));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [renamed[key] ?? pascal(key), inPascal(member, renamed)]),
  );
}

export const tagList = (tags: Inputs = {}): object[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
export const smallTagList = (tags: Inputs = {}): object[] =>
  Object.entries(tags).map(([key, value]) => ({ key, value }));
export const tagged = (resource: string, tags: Inputs | undefined): object[] | undefined =>
  tags && Object.keys(tags).length > 0 ? [{ ResourceType: resource, Tags: tagList(tags) }] : undefined;
export const texts = (attributes: Inputs): Record<string, string> =>
  Object.fromEntries(Object.entries(set(attributes)).map(([key, value]) => [key, String(value)]));
export const whole = (value: unknown): number | undefined => (value === undefined ? undefined : Number(value));
