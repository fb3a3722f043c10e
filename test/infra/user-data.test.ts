import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type UserData, userData } from "#infra/resources/user-data.ts";

const run = promisify(execFile);
const DISK = "/dev/nvme1n1 Amazon EC2 NVMe Instance Storage";
const ROOT_DISK = "/dev/nvme0n1 Amazon Elastic Block Store";

function script(changes: Partial<UserData> = {}): string {
  return userData({
    cluster: "gallery-test-cluster",
    stopTimeout: 120,
    instanceStorage: true,
    baked: false,
    warmPool: false,
    ...changes,
  });
}

/** The text of a here-document. */
function document(text: string, mark: string): string {
  const [, inside] = new RegExp(`<<'${mark}'\\n([\\s\\S]*?)\\n${mark}\\n`).exec(text) ?? [];
  return inside ?? "";
}

it("is a script that bash can read, in every form", async () => {
  for (const instanceStorage of [true, false]) {
    await run("bash", ["-n", "-c", script({ instanceStorage, baked: true, warmPool: true })]);
    await run("bash", ["-n", "-c", document(script({ instanceStorage }), "SCRIPT")]);
  }
});

it("sets the agent: the cluster, GPUs, task roles on the host's network, Spot's notice, the stop timeout", () => {
  expect(document(script(), "SETTINGS").split("\n")).toEqual([
    "ECS_CLUSTER=gallery-test-cluster",
    "ECS_ENABLE_GPU_SUPPORT=true",
    "ECS_RESERVED_MEMORY=256",
    "ECS_ENABLE_TASK_IAM_ROLE=true",
    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST=true",
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true",
    "ECS_CONTAINER_STOP_TIMEOUT=120s",
    'ECS_AVAILABLE_LOGGING_DRIVERS=["json-file","awslogs"]',
  ]);
});

it("takes a baked image before it pulls one, and waits in a warm pool", () => {
  expect(document(script({ baked: true }), "SETTINGS")).toContain("ECS_IMAGE_PULL_BEHAVIOR=prefer-cached");
  expect(document(script({ warmPool: true }), "SETTINGS")).toContain("ECS_WARM_POOLS_CHECK=true");
});

it("keeps the instance's credentials from containers at every boot, before the agent", () => {
  for (const instanceStorage of [true, false]) {
    const unit = document(script({ instanceStorage }), "UNIT");
    expect(unit).toContain("Before=docker.service ecs.service");
    expect(unit).toMatch(/ExecStart=\/usr\/sbin\/iptables .*-d 169\.254\.169\.254 .*! --uid-owner 0 -j REJECT/);
  }
});

it("mounts the instance's own disk only where the plan says so", () => {
  expect(document(script(), "UNIT")).toContain("ExecStart=-/usr/local/sbin/tandem-instance-disk");
  expect(script({ instanceStorage: false })).not.toContain("mkfs");
});

it("makes a folder of weights that the image's user, who is not root, may write to, with or without a disk", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tandem-weights-"));
  for (const instanceStorage of [true, false]) {
    const [line] = /^install .*$/m.exec(script({ instanceStorage })) ?? [""];
    const weights = join(folder, String(instanceStorage));
    await run("bash", ["-c", line.replace("/var/lib/tandem/weights", weights)]);
    expect((await stat(weights)).mode & 0o7777).toBe(0o1777);
  }
  await rm(folder, { recursive: true });
});

describe("the disk's script", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tandem-disk-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs it with commands that only write down that they were called. @returns those that change something. */
  async function calls(disks: string, { mounted = false, formatted = false } = {}): Promise<string[]> {
    const log = join(folder, "log");
    await writeFile(log, "");
    const fakes = {
      mountpoint: mounted ? "exit 0" : "exit 1",
      blkid: formatted ? "exit 0" : "exit 2",
      lsblk: `printf '%s\\n' '${disks.split("\n").join("' '")}'`,
      "mkfs.xfs": `echo "mkfs.xfs $*" >> ${log}`,
      mount: `echo "mount $*" >> ${log}`,
      chmod: `echo "chmod $*" >> ${log}`,
    };
    for (const [name, body] of Object.entries(fakes)) {
      await writeFile(join(folder, name), `#!/bin/bash\n${body}\n`);
      await chmod(join(folder, name), 0o755);
    }
    await run("bash", ["-c", document(script(), "SCRIPT")], {
      env: { PATH: `${folder}:/usr/sbin:/usr/bin:/sbin:/bin` },
    });
    return (await readFile(log, "utf8")).split("\n").filter(Boolean);
  }

  const mounting = [
    "mount -o noatime,nodev,nosuid /dev/nvme1n1 /var/lib/tandem/weights",
    "chmod 1777 /var/lib/tandem/weights",
  ];

  it("formats a blank disk and mounts it for all users", async () => {
    expect(await calls(`${ROOT_DISK}\n${DISK}`)).toEqual(["mkfs.xfs -q -K /dev/nvme1n1", ...mounting]);
  });

  it("takes the first of several", async () => {
    expect(await calls(`${DISK}\n/dev/nvme2n1 Amazon EC2 NVMe Instance Storage`)).toContain(mounting[0]);
  });

  it("keeps what is on the disk after a reboot", async () => {
    expect(await calls(DISK, { formatted: true })).toEqual(mounting);
  });

  it("does nothing where it is mounted, or where the instance has no disk of its own", async () => {
    expect(await calls(DISK, { mounted: true })).toEqual([]);
    expect(await calls(ROOT_DISK)).toEqual([]);
  });
});
