import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServedProject, serveProject } from "../e2e/served-project.ts";

const PICTURE = fileURLToPath(new URL("../../examples/cat-face.png", import.meta.url));

let served: ServedProject;
let browser: Browser;
let page: Page;
/** What the page's console called an error, and scripts that its own policy refused. */
const complaints: string[] = [];

beforeAll(async () => {
  [served, browser] = await Promise.all([
    serveProject(["--workers", "1"]),
    chromium.launch({
      executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
    }),
  ]);
  page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(served.url);
});
afterAll(async () => {
  await browser?.close();
  await served?.stop();
});

it("makes a picture from an uploaded one", async () => {
  const section = page.locator("section", { has: page.getByRole("heading", { name: "generate", exact: true }) });
  await section.locator("input[type=file]").setInputFiles(PICTURE);
  await section.getByLabel("prompt", { exact: true }).fill("an orange cat on a blue background");
  await section.getByLabel("num_inference_steps").fill("4");
  await section.getByRole("button", { name: "Run" }).click();
  const result = section.getByRole("img", { name: "The result" });
  await result.waitFor();
  const size = await result.evaluate((img: unknown) => {
    const { naturalWidth, naturalHeight } = img as { naturalWidth: number; naturalHeight: number };
    return [naturalWidth, naturalHeight];
  });
  expect(size).toEqual([128, 128]);
  expect(complaints).toEqual([]);
});

it("shows what is wrong with an input, and where", async () => {
  const section = page.locator("section", { has: page.getByRole("heading", { name: "generate", exact: true }) });
  await section.getByLabel("num_inference_steps").fill("0");
  await section.getByRole("button", { name: "Run" }).click();
  await section.locator("output.error").waitFor();
  expect(await section.locator("output").textContent()).toMatch(/^400 INVALID_ARGUMENT: params.num_inference_steps: /);
});

it("shows the edges alone", async () => {
  const section = page.locator("section", { has: page.getByRole("heading", { name: "edges", exact: true }) });
  await section.locator("input[type=file]").setInputFiles(PICTURE);
  await section.getByRole("button", { name: "Run" }).click();
  await section.getByRole("img", { name: "The result" }).waitFor();
});

it("shows all pictures of a call", async () => {
  const section = page.locator("section", { has: page.getByRole("heading", { name: "generate_images", exact: true }) });
  await section.locator("input[type=file]").setInputFiles(PICTURE);
  await section.getByLabel("prompt", { exact: true }).fill("an orange cat on a blue background");
  await section.getByLabel("num_inference_steps").fill("2");
  await section.getByLabel("num_images_per_prompt").fill("2");
  await section.getByLabel("scheduler").selectOption("euler_a");
  await section.getByRole("button", { name: "Run" }).click();
  await section.getByRole("img", { name: "The result" }).nth(1).waitFor();
  expect(await section.getByRole("img").count()).toBe(2);
});

it("has a readable page of the apis and errors", async () => {
  await page.getByRole("link", { name: "API" }).click();
  await page.getByRole("heading", { name: "POST /generate", exact: true }).waitFor();
  expect(await page.getByText("params.controlnet_conditioning_scale").count()).toBe(2);
  expect(await page.getByText("RESOURCE_EXHAUSTED").count()).toBe(1);
});
