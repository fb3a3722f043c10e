import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type ServiceError } from "#shared/index.ts";
import type { SERVERS } from "./deployment.ts";
import { Mortal } from "./dying-service.ts";

const SCRIPT = fileURLToPath(new URL("./dying-server.ts", import.meta.url));

/** What a caller meets when the callee's process is killed in the middle of a call. */
export function dyingSuite(kind: keyof typeof SERVERS): void {
  describe(`${kind}: a callee that dies`, () => {
    let folder: string;
    let log: string;
    let url: string;
    let child: ChildProcess;

    /** Starts the server, where it was before if it was. */
    async function start(): Promise<void> {
      child = fork(SCRIPT, url ? [kind, url] : [kind]);
      [url] = await once(child, "message");
    }
    const executions = (): number => readFileSync(log, "utf8").length;

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "tandem-dying-"));
      log = join(folder, "log");
      url = "";
      await start();
    });
    afterEach(async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      await rm(folder, { recursive: true, force: true });
      if (url.startsWith("unix:")) await rm(join(url.slice("unix:".length), ".."), { recursive: true, force: true });
    });

    test("a call that must not run twice fails with UNAVAILABLE and ran once; the next call works", async () => {
      await using client = createClient(Mortal, { url });
      const died = once(child, "exit");
      await expect(client.once({ log })).rejects.toEqual(
        expect.objectContaining({ code: "UNAVAILABLE", service: "Mortal", retryAfter: 1 }),
      );
      await died;
      await start();
      expect(executions()).toBe(1);
      expect(await client.once({ log })).toBe("alive");
      expect(executions()).toBe(2);
    });

    test("an idempotent call succeeds once the callee is back", async () => {
      await using client = createClient(Mortal, { url });
      const died = once(child, "exit");
      const call = client.again({ log });
      await died;
      await start();
      expect(await call).toBe("alive");
      expect(executions()).toBe(2);
    });

    test("an input that kills its callee kills it four times at most", async () => {
      await using client = createClient(Mortal, { url });
      let reviving = true;
      let restarting = Promise.resolve();
      const revive = (): void => {
        child.once("exit", () => {
          if (reviving) restarting = start().then(revive);
        });
      };
      revive();
      const error = await client.never({ log }).catch((reason: ServiceError) => reason);
      expect(error).toEqual(expect.objectContaining({ code: "UNAVAILABLE" }));
      await restarting;
      reviving = false;
      expect(executions()).toBe(4);
    });

    test("a call to a callee that is down waits for it until its deadline", async () => {
      await using client = createClient(Mortal, { url });
      child.kill("SIGKILL");
      await once(child, "exit");
      await expect(client.once({ log }, { timeout: 0.3 })).rejects.toEqual(
        expect.objectContaining({ code: "DEADLINE_EXCEEDED" }),
      );
      writeFileSync(`${log}.died`, "");
      // It never reached the one that died: even a call that must not run twice is sent.
      const call = client.once({ log });
      await start();
      expect(await call).toBe("alive");
      expect(executions()).toBe(1);
    });

    test("a stream breaks off with UNAVAILABLE after the items that came", async () => {
      await using client = createClient(Mortal, { url });
      const got: number[] = [];
      const reading = async (): Promise<void> => {
        for await (const n of client.stream({ log })) got.push(n);
      };
      await expect(reading()).rejects.toEqual(expect.objectContaining({ code: "UNAVAILABLE", service: "Mortal" }));
      expect(got).toEqual([1, 2]);
    });
  });
}
