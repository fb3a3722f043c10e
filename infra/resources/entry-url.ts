/// <reference path="../../.sst/platform/config.d.ts" />
import type { CorsPlan } from "../plan/deployment-plan.ts";
import { type Deployment, made } from "./deployed.ts";

/**
 * The URL of the entry's alias. Where access is `iam` callers sign, and their own policies allow it; otherwise anybody may
 * ask, and with `bearer` the function looks for a key. The entry's function must have been made.
 * @returns the URL, with a `/` at its end.
 */
export function createEntryUrl(deployment: Deployment): $util.Output<string> {
  const { service, access, cors, invokeMode } = deployment.plan.entry;
  const { name, alias } = made(deployment.functions.get(service), `function of ${service}`);
  const url = new aws.lambda.FunctionUrl(`${service}Url`, {
    functionName: name,
    qualifier: alias,
    authorizationType: access === "iam" ? "AWS_IAM" : "NONE",
    invokeMode,
    ...(cors && { cors: corsOf(cors) }),
  });
  if (access !== "iam") {
    // Since October 2025 a URL asks for both: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    const anybody = { function: name, qualifier: alias, principal: "*" };
    new aws.lambda.Permission(`${service}UrlPublic`, {
      ...anybody,
      action: "lambda:InvokeFunctionUrl",
      functionUrlAuthType: "NONE",
    });
    new aws.lambda.Permission(`${service}UrlInvokes`, {
      ...anybody,
      action: "lambda:InvokeFunction",
      invokedViaFunctionUrl: true,
    });
  }
  return url.functionUrl;
}

function corsOf(cors: CorsPlan): aws.types.input.lambda.FunctionUrlCors {
  return {
    allowOrigins: [...cors.allowOrigins],
    allowMethods: [...cors.allowMethods],
    allowHeaders: [...cors.allowHeaders],
    exposeHeaders: [...cors.exposeHeaders],
    allowCredentials: cors.allowCredentials,
    maxAge: cors.maxAgeSeconds,
  };
}
