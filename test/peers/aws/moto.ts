import { fileURLToPath } from "node:url";
import type { AwsPeer } from "../../aws/peer.ts";
import { pythonWith } from "../../python.ts";
import { freePort, runTool, startPeer } from "./peer-process.ts";

const REQUIREMENTS = fileURLToPath(new URL("./moto-requirements.txt", import.meta.url));

/**
 * Starts moto's server, an AWS written in Python: SQS and S3. It comes from PyPI at first need.
 * @throws Error where Python is missing.
 */
export async function startMoto(): Promise<AwsPeer> {
  await runTool(["python3", "--version"], "python3 python3-venv");
  const python = await pythonWith("moto", REQUIREMENTS);
  const port = await freePort();
  const env = {
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "testtest",
    AWS_DEFAULT_REGION: "us-east-1",
    MOTO_IAM_LOAD_MANAGED_POLICIES: "true",
  };
  return await startPeer([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`], port, { env });
}
