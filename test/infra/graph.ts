/** Looks things up in a graph. */
import type { Graph, GraphResource } from "./synth.ts";

/** Every resource of a type (`aws:sqs/queue:Queue`), by name. */
export function resourcesOf({ resources }: Graph, type: string): GraphResource[] {
  return resources.filter((resource) => resource.type === type).sort(byName);
}

/**
 * The one resource of a type, or of a type and a name.
 * @throws Error that says which there are, where it is not one.
 */
export function resourceOf(graph: Graph, type: string, name?: string): GraphResource {
  const all = resourcesOf(graph, type);
  const found = all.filter((resource) => name === undefined || resource.name === name);
  if (found.length === 1) return found[0] as GraphResource;
  const names = all.map((resource) => resource.name).join(", ") || `none; types are ${typesOf(graph).join(", ")}`;
  throw new Error(`${found.length} resources are ${type} ${name ?? ""}; there are ${names}`);
}

function typesOf({ resources }: Graph): string[] {
  return [...new Set(resources.map(({ type }) => type))].sort();
}

function byName(one: GraphResource, other: GraphResource): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}
