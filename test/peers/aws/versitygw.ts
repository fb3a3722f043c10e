import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AwsPeer } from "../../aws/peer.ts";
import { freePort, PEERS, runTool, startPeer } from "./peer-process.ts";

const MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

/**
 * Starts versitygw, an S3 server that keeps objects in a folder, checks signatures and checksums, and honours conditions.
 * It is compiled at first need, which takes two to three minutes of a processor.
 * @throws Error where Go is missing.
 */
export async function startVersityGw(): Promise<AwsPeer> {
  const bin = `${PEERS}/bin`;
  const stamp = `${bin}/versitygw.txt`;
  if (!existsSync(stamp) || (await readFile(stamp, "utf8")) !== MODULE) {
    await mkdir(bin, { recursive: true });
    // versitygw asks for Go 1.25. An older one, from 1.21 on, fetches that if it may; Debian's may not by default.
    const env = { ...process.env, GOBIN: bin, GOTOOLCHAIN: "auto" };
    await runTool(["go", "install", MODULE], "golang (1.21 or newer)", { cwd: tmpdir(), env });
    await writeFile(stamp, MODULE);
  }
  const folder = await mkdtemp(join(tmpdir(), "tandem-versitygw-"));
  const port = await freePort();
  const peer = await startPeer([`${bin}/versitygw`, "--port", `127.0.0.1:${port}`, "posix", folder], port, {
    env: { ROOT_ACCESS_KEY: "test", ROOT_SECRET_KEY: "testtest" },
  });
  return {
    endpoint: peer.endpoint,
    stop: async () => {
      await peer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
