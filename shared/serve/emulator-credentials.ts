import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What an emulator takes for credentials: anything. */
const DUMMIES = { AWS_ACCESS_KEY_ID: "tandem", AWS_SECRET_ACCESS_KEY: "tandem" };
/** Queues on the emulator belong to a region, and there is always the same one. */
const REGION = "us-east-1";
/** Any of these says where credentials are. */
const SOURCES = [
  "AWS_ACCESS_KEY_ID",
  "AWS_PROFILE",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/** Environment of a process that speaks to the emulator alone. */
export function emulatorOnly(endpoint: string): Record<string, string | undefined> {
  return { AWS_ENDPOINT_URL_SQS: endpoint, AWS_REGION: REGION, ...DUMMIES, AWS_PROFILE: undefined };
}

/** What a worker's environment lacks to speak to the emulator. A service that uses AWS itself keeps the user's own. */
export function forWorkers(endpoint: string, env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  return { AWS_ENDPOINT_URL_SQS: endpoint, ...deskCredentials(env) };
}

/** The region and the credentials that the SDK wants and the environment lacks: for who is asked for none. */
export function deskCredentials(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const files = [
    env.AWS_SHARED_CREDENTIALS_FILE ?? join(homedir(), ".aws", "credentials"),
    env.AWS_CONFIG_FILE ?? join(homedir(), ".aws", "config"),
  ];
  const has = SOURCES.some((name) => env[name]) || files.some((file) => existsSync(file));
  return { AWS_REGION: env.AWS_REGION ?? REGION, ...(!has && DUMMIES) };
}
