import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { handlerFiles, requiredHandlerFiles } from "#shared/serve/handler-files.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

function projectWith(...files: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "tandem-handlers-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  mkdirSync(join(folder, "functions/handlers"), { recursive: true });
  for (const file of files) writeFileSync(join(folder, "functions/handlers", file), "");
  return folder;
}

test("this project's handlers", () => {
  expect(handlerFiles(ROOT, "ControlNet")).toEqual({
    url: "functions/handlers/controlnet.ts",
    queue: "functions/handlers/controlnet-queue.ts",
    deadLetters: "functions/handlers/controlnet-dead-letters.ts",
  });
  expect(handlerFiles(ROOT, "SDXLControlNetService")).toEqual({
    deadLetters: "functions/handlers/sdxl-controlnet-dead-letters.ts",
  });
});

test.each([
  ["ImageUpscaler", "image-upscaler.ts"],
  ["ImageUpscaler", "imageupscaler.ts"],
  ["image_upscaler", "image-upscaler.ts"],
  ["UpscaleService", "upscale.ts"],
  ["UpscaleService", "upscale-service.ts"],
  ["Service", "service.ts"],
  ["JobQueue", "job-queue.ts"],
])("%s is handled by %s", (service, file) => {
  expect(handlerFiles(projectWith(file), service)).toEqual({ url: `functions/handlers/${file}` });
});

test.each([
  ["Upscale", "upscaler.ts"],
  ["Upscale", "upscale-service.ts"],
  ["Upscale", "upscale.test.js"],
  ["Upscale", "upscale-queues.ts"],
])("%s is not handled by %s", (service, file) => {
  expect(handlerFiles(projectWith(file), service)).toEqual({});
});

test("a project without handlers has none", () => {
  expect(handlerFiles(tmpdir(), "ControlNet")).toEqual({});
});

test("two files for one handler are refused", () => {
  const folder = projectWith("upscale.ts", "upscale-service.ts");
  expect(() => handlerFiles(folder, "UpscaleService")).toThrow(
    "functions/handlers/upscale.ts and functions/handlers/upscale-service.ts are both the handler of UpscaleService",
  );
});

test("a missing one is named, with the lines that make it", () => {
  const folder = projectWith("upscale.ts");
  expect(requiredHandlerFiles(folder, "UpscaleService", ["url"]).url).toBe("functions/handlers/upscale.ts");
  expect(() => requiredHandlerFiles(folder, "UpscaleService", ["url", "queue"])).toThrow(
    `functions/handlers/upscale-queue.ts is missing, the handler of its own queue of UpscaleService as a function; write into it:

import { UpscaleService } from "#shared/contracts/upscale.ts";
import { deployable } from "#shared/index.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";

export const handler = sqsHandler(deployable(UpscaleService, () => import("../services/upscale.ts")));
`,
  );
  expect(() => requiredHandlerFiles(folder, "UpscaleService", ["deadLetters"])).toThrow(
    /upscale-dead-letters\.ts is missing.*\n\nimport \{ UpscaleService \}.*\nimport \{ deadLetterHandler \}.*\n\nexport const handler = deadLetterHandler\(UpscaleService\);\n/,
  );
});
