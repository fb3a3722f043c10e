import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { AwsPeer } from "../../aws/peer.ts";
import { freePort, PEERS, runTool, startPeer } from "./peer-process.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/**
 * Starts ElasticMQ, an SQS server of its own making, written in Scala. It comes from Maven Central at first need: 37 MB.
 * @throws Error where Java or Maven is missing.
 */
export async function startElasticMq(): Promise<AwsPeer> {
  const lib = `${PEERS}/elasticmq/lib`;
  const stamp = `${PEERS}/elasticmq/installed.xml`;
  const pom = await readFile(here("elasticmq-pom.xml"), "utf8");
  await runTool(["java", "-version"], "default-jre-headless");
  if (!existsSync(stamp) || (await readFile(stamp, "utf8")) !== pom) {
    await mkdir(lib, { recursive: true });
    const copy = [
      "-B",
      "-q",
      "-f",
      here("elasticmq-pom.xml"),
      "dependency:copy-dependencies",
      `-DoutputDirectory=${lib}`,
    ];
    await runTool(["mvn", ...copy], "maven");
    await writeFile(stamp, pom);
  }
  const port = await freePort();
  const jvm = ["-Xmx128m", "-XX:+UseSerialGC", `-Dport=${port}`, `-Dconfig.file=${here("elasticmq.conf")}`];
  return await startPeer(["java", ...jvm, "-cp", `${lib}/*`, "org.elasticmq.server.Main"], port);
}
