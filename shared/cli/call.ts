import { readFile, writeFile } from "node:fs/promises";
import { extname } from "node:path";
import { InvalidArgumentError } from "commander";
import type { $ZodType } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { ImageValue } from "../codec/image.ts";
import { jsonForm } from "../codec/json-form.ts";
import { NDArray } from "../codec/ndarray.ts";
import { membersOf } from "../codec/schema-parts.ts";
import { deskCredentials } from "../serve/emulator-credentials.ts";
import { loadProject, type Project } from "../serve/project.ts";
import { clientOf } from "../service/client.ts";
import type { CallOptions } from "../service/context.ts";
import { Discovery } from "../service/discovery.ts";
import { HttpTransport } from "../transport/http-client.ts";
import { LambdaTransport } from "../transport/lambda-client.ts";
import type { Transport } from "../transport/transport.ts";

export interface CallCommand {
  project: string;
  image?: string;
  param: string[];
  output?: string;
  url?: string;
  function?: string;
  token?: string;
  iam?: boolean;
  timeout?: number;
  json?: boolean;
}

type Method = (input: unknown, options: CallOptions) => Promise<unknown>;

const MEDIA_TYPES: Record<string, string> = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".webp": "image/webp",
};

/** `tandem call`: one call, its progress on standard error, its result in a file or on standard output. */
export async function call(target: string, options: CallCommand): Promise<void> {
  const project = await loadProject(options.project);
  const [serviceName, apiName] = target.split(".");
  const service = project.deployables.find(({ service }) => service.name === serviceName)?.service;
  const api = service?.apis[apiName ?? ""];
  if (!service || !apiName || !api) throw new InvalidArgumentError(`no api ${target}; there are ${apiNames(project)}`);
  if (options.url !== undefined && options.function !== undefined)
    throw new InvalidArgumentError("--url and --function both say where the service is: give one of them");
  const input = argumentsOf(options.param, api.input);
  if (options.image !== undefined) input[imageField(target, api.input)] = new ImageValue(await readFile(options.image));

  const there = await transportOf(service.name, options);
  const discovery = new Discovery(project.deployables, there ? {} : undefined);
  const transport = async (): Promise<Transport> => there ?? discovery.transportOf(service);
  const started = performance.now();
  const method = clientOf(service, transport)[apiName] as Method;
  const output = await method(input, {
    timeout: options.timeout,
    accept: MEDIA_TYPES[extname(options.output ?? "").toLowerCase()],
    ...(process.stderr.isTTY && { progress: (fraction) => process.stderr.write(`\r${Math.round(fraction * 100)} %`) }),
  });
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  await discovery.close();
  await report(output, options, (performance.now() - started) / 1000);
  process.exit(0);
}

/** The service where the command says it is; undefined where it says nothing. */
async function transportOf(
  service: string,
  { url, function: functionName, ...options }: CallCommand,
): Promise<Transport | undefined> {
  if (functionName !== undefined) return functionTransport(service, functionName);
  return url === undefined ? undefined : urlTransport(url, options);
}

/** The desk's Invoke API takes any credentials, and the SDK wants some. */
function functionTransport(service: string, functionName: string): Transport {
  const endpoint = process.env.AWS_ENDPOINT_URL_LAMBDA ?? process.env.AWS_ENDPOINT_URL;
  if (endpoint && isLoopback(endpoint)) Object.assign(process.env, deskCredentials());
  return new LambdaTransport(service, { transport: "lambda", functionName });
}

function isLoopback(endpoint: string): boolean {
  return ["127.0.0.1", "localhost", "[::1]"].includes(URL.parse(endpoint)?.hostname ?? "");
}

/** A token is only sent where `--url` says: it is nobody else's. */
async function urlTransport(
  url: string,
  { token = process.env.TANDEM_TOKEN, iam }: Pick<CallCommand, "token" | "iam">,
): Promise<Transport> {
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const sign = iam ? (await import("../aws/signed-fetch.ts")).requestSigner() : undefined;
  return new HttpTransport(url, { unavailableSeconds: 5, headers, sign });
}

async function report(output: unknown, { output: file, json }: CallCommand, seconds: number): Promise<void> {
  const files = filesOf(output);
  const isFile = ImageValue.is(output) || output instanceof Uint8Array;
  if (isFile && file === undefined) throw new InvalidArgumentError("the result is a file: say where it goes with -o");
  if (file !== undefined && files.length > 0 && (isFile || extname(file).toLowerCase() in MEDIA_TYPES)) {
    const names = files.length === 1 ? [file] : files.map((_, at) => numbered(file, at + 1));
    await Promise.all(files.map((one, at) => writeFile(names[at]!, one)));
    const size = files.reduce((sum, one) => sum + one.byteLength, 0);
    console.log(
      json ? JSON.stringify({ output: names.length === 1 ? file : names, bytes: size, seconds }) : names.join("\n"),
    );
  } else {
    const text = JSON.stringify(jsonForm(output));
    if (file === undefined) console.log(text);
    else await writeFile(file, text);
  }
}

/** The files in an output: the output itself, or the pictures in its lists. */
function filesOf(output: unknown): Uint8Array[] {
  if (ImageValue.is(output)) return [output.bytes];
  if (output instanceof Uint8Array) return [output];
  if (Array.isArray(output)) return output.flatMap(filesOf);
  if (typeof output === "object" && output !== null && !NDArray.is(output))
    return Object.values(output).flatMap((member) => (Array.isArray(member) ? filesOf(member) : []));
  return [];
}

/** `out.png` -> `out-2.png`. */
function numbered(file: string, number: number): string {
  const extension = extname(file);
  return `${file.slice(0, file.length - extension.length)}-${number}${extension}`;
}

function apiNames(project: Project): string {
  return project.deployables
    .flatMap(({ service }) => Object.keys(service.apis).map((api) => `${service.name}.${api}`))
    .join(", ");
}

function shapeOf(schema: $ZodType | undefined): Readonly<Record<string, $ZodType>> {
  return (schema && membersOf(schema)) ?? {};
}

function imageField(target: string, schema: $ZodType): string {
  const found = Object.entries(shapeOf(schema)).find(([, field]) => binaryOf(field)?.kind === "image");
  if (!found) throw new InvalidArgumentError(`${target} takes no picture`);
  return found[0];
}

/** `name=value` pairs as an input; a name that only one of the input's objects has goes there. */
function argumentsOf(pairs: string[], schema: $ZodType): Record<string, unknown> {
  const shape = shapeOf(schema);
  const input: Record<string, unknown> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const path = pair.slice(0, at).split(".");
    if (path.length === 1 && !(path[0]! in shape)) {
      const owners = Object.keys(shape).filter((name) => path[0]! in shapeOf(shape[name]));
      if (owners.length === 1) path.unshift(owners[0]!);
    }
    let owner = input;
    for (const name of path.slice(0, -1)) {
      owner[name] ??= {};
      owner = owner[name] as Record<string, unknown>;
    }
    owner[path.at(-1)!] = parsed(pair.slice(at + 1));
  }
  return input;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
