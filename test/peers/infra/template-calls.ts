/** What CloudFormation asks Lambda for when it makes a template's functions and capacity providers. */
import type { Call, Inputs } from "./api-naming.ts";

interface Template {
  readonly Resources: Readonly<Record<string, { readonly Type: string; readonly Properties: Inputs }>>;
}

/** Calls in the template's order; aliases are others' business (aws_calls.py makes them). */
export function templateCalls({ Resources }: Template, parameters: Inputs, stack: string): Call[] {
  const resolved = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolved);
    if (typeof value !== "object" || value === null) return value;
    const { Ref, "Fn::GetAtt": attribute, ...rest } = value as Inputs;
    if (Ref !== undefined) return parameters[Ref];
    if (attribute !== undefined) return `arn:aws:lambda:us-east-1:123456789012:capacity-provider:${attribute[0]}`;
    return Object.fromEntries(Object.entries(rest).map(([key, member]) => [key, resolved(member)]));
  };
  return Object.entries(Resources).flatMap(([logical, { Type, Properties }]) => {
    const properties = resolved(Properties) as Inputs;
    switch (Type) {
      case "AWS::Lambda::CapacityProvider":
        return [capacityProvider(`${stack}-${logical}`, properties)];
      case "AWS::Lambda::Function":
        return functionCalls(properties);
      case "AWS::Lambda::Alias":
        return [];
      default:
        throw new Error(`${Type} (${logical}) has no mapping to calls of AWS's: write one in template-calls.ts`);
    }
  });
}

function capacityProvider(CapacityProviderName: string, { PropagateTags, Tags, ...rest }: Inputs): Call {
  const params = {
    CapacityProviderName,
    ...rest,
    PropagateTags: { ...PropagateTags, ExplicitTags: tagMap(PropagateTags.ExplicitTags) },
    Tags: tagMap(Tags),
  };
  return { service: "lambda", operation: "CreateCapacityProvider", params };
}

/** A function's scaling is a call of its own, for the version that is published. */
function functionCalls({ PublishToLatestPublished, FunctionScalingConfig, Tags, ...rest }: Inputs): Call[] {
  const { FunctionName } = rest;
  const PublishTo = PublishToLatestPublished ? "LATEST_PUBLISHED" : undefined;
  return [
    { service: "lambda", operation: "CreateFunction", params: { ...rest, PublishTo, Tags: tagMap(Tags) } },
    {
      service: "lambda",
      operation: "PutFunctionScalingConfig",
      params: { FunctionName, Qualifier: "$LATEST.PUBLISHED", FunctionScalingConfig },
    },
  ];
}

function tagMap(tags: { Key: string; Value: string }[]): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]));
}
