/** On a service's resources; the deployment's own tags come on everything by the provider. */
export function serviceTags(service: string): Record<string, string> {
  return { "tandem:service": service };
}
