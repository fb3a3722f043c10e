import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { tandem } from "../../e2e/served-project.ts";

let bin: string;

beforeEach(async () => {
  bin = await mkdtemp(join(tmpdir(), "tandem-bin-"));
  vi.stubEnv("PATH", bin);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(bin, { recursive: true });
});

/** A stand-in for a builder, which notes what it is told. */
async function builder(name: string, code = 0): Promise<() => Promise<string[]>> {
  const script = `#!/bin/sh\nprintf '%s\\n' "$@" > ${bin}/told\necho built\nexit ${code}\n`;
  await writeFile(join(bin, name), script);
  await chmod(join(bin, name), 0o755);
  return async () => (await readFile(join(bin, "told"), "utf8")).trimEnd().split("\n");
}

it("builds the GPU service's image with docker", async () => {
  const told = await builder("docker");
  await builder("podman");
  expect(await tandem("containerize", "--json")).toMatchObject({
    code: 0,
    out: '{"image":"sdxlcontrolnetservice","service":"SDXLControlNetService","builder":"docker","cpu":false}\n',
    err: expect.stringContaining("built"),
  });
  expect(await told()).toEqual([
    ...["build", "--file", "gpu-worker/Dockerfile"],
    ...["--build-arg", "SERVICE=SDXLControlNetService"],
    ...["--tag", "sdxlcontrolnetservice", "."],
  ]);
});

it("builds the CPU variant for a service that wants no GPU, with buildah where that is what there is", async () => {
  const told = await builder("buildah");
  const { code, out } = await tandem("containerize", "ControlNet", "--tag", "me/entry:1");
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("me/entry:1 is built") });
  expect(await told()).toEqual([
    ...["build", "--file", "gpu-worker/Dockerfile"],
    ...["--ignorefile", "gpu-worker/Dockerfile.dockerignore", "--format", "docker", "--target", "cpu"],
    ...["--build-arg", "BASE=ubuntu:24.04", "--build-arg", "ONNXRUNTIME_NODE_INSTALL=skip"],
    ...["--build-arg", "SERVICE=ControlNet", "--tag", "me/entry:1", "."],
  ]);
});

it("bakes a model of the project into the image, and the GPU service's without CUDA where asked", async () => {
  const told = await builder("podman");
  expect((await tandem("containerize", "--cpu", "--bake-model", "gpu-worker/model")).code).toBe(0);
  expect(await told()).toEqual(
    expect.arrayContaining(["BAKE_MODEL=gpu-worker/model", "cpu", "SERVICE=SDXLControlNetService"]),
  );
});

it.each([
  [[], 1, "none of docker, podman, buildah is on the PATH"],
  [["Nobody"], 2, "no service Nobody; there are"],
  [["--bake-model", "/nowhere"], 2, "is no folder"],
  [["--bake-model", tmpdir()], 2, "is outside of"],
])("says what is wrong with %j", async (args, code, message) => {
  expect(await tandem("containerize", ...args)).toMatchObject({ code, err: expect.stringContaining(message) });
});

it("fails where the builder fails", async () => {
  await builder("docker", 3);
  expect(await tandem("containerize")).toMatchObject({ code: 1, err: expect.stringContaining("exit code 3") });
});
