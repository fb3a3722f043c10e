import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { SCHEDULERS, SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { bentoSchema } from "#shared/http/json-schema.ts";
import { openApi } from "#shared/http/openapi.ts";
import { api, bytes, image, ndarray, service } from "#shared/index.ts";
import { Kinds, kindsApp } from "./kinds-service.ts";

type Json = Record<string, unknown>;
const inputOf = (schema: Json, name: string): Json =>
  (schema.routes as { name: string; input: Json }[]).find((route) => route.name === name)!.input;

/** What BentoML 1.4.39 itself answers for the seed's service and an `edges(image, low=100, high=200)` beside it. */
const picture = { format: "image", pil: true, type: "file" };
const BENTOML = {
  name: "ControlNet",
  type: "service",
  routes: [
    {
      name: "edges",
      route: "/edges",
      batchable: false,
      input: {
        properties: {
          image: { ...picture, title: "Image" },
          low: { default: 100, title: "Low", type: "number" },
          high: { default: 200, title: "High", type: "number" },
        },
        required: ["image"],
        title: "Input",
        type: "object",
      },
      output: picture,
      is_task: false,
    },
    {
      name: "generate",
      route: "/generate",
      batchable: false,
      input: {
        properties: {
          image: { ...picture, title: "Image" },
          params: {
            properties: {
              prompt: { title: "Prompt", type: "string" },
              negative_prompt: { title: "Negative Prompt", type: "string" },
              controlnet_conditioning_scale: {
                default: 0.5,
                title: "Controlnet Conditioning Scale",
                type: "number",
              },
              num_inference_steps: { default: 25, title: "Num Inference Steps", type: "integer" },
            },
            required: ["prompt", "negative_prompt"],
            title: "Params",
            type: "object",
          },
        },
        required: ["image", "params"],
        title: "Input",
        type: "object",
      },
      output: picture,
      is_task: false,
    },
  ],
  paths: { "/edges": { mounted: false }, "/generate": { mounted: false } },
};

/** What we say beyond BentoML: texts, limits, more parameters, and no need to give a negative prompt. */
const OURS = {
  params: {
    prompt: { maxLength: 10_000 },
    negative_prompt: { maxLength: 10_000, default: null },
    controlnet_conditioning_scale: { minimum: 0, maximum: 2 },
    num_inference_steps: { minimum: 1, maximum: 1000 },
    guidance_scale: { title: "Guidance Scale", type: "number", default: 5, minimum: 0, maximum: 50 },
    seed: { title: "Seed", type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    width: { title: "Width", type: "integer", minimum: 1, maximum: 4096 },
    height: { title: "Height", type: "integer", minimum: 1, maximum: 4096 },
    control_guidance_start: { title: "Control Guidance Start", type: "number", default: 0, minimum: 0, maximum: 1 },
    control_guidance_end: { title: "Control Guidance End", type: "number", default: 1, minimum: 0, maximum: 1 },
    scheduler: { title: "Scheduler", type: "string", enum: [...SCHEDULERS] },
    output_format: { title: "Output Format", type: "string", enum: ["png", "webp", "jpeg"] },
    output_quality: { title: "Output Quality", type: "integer", minimum: 1, maximum: 100 },
    num_images_per_prompt: { title: "Num Images Per Prompt", type: "number", default: 1, const: 1 },
  } as Record<string, Json>,
};

describe("schema.json", () => {
  test("is BentoML's for the same service, and ours beyond it", () => {
    const expected = structuredClone(BENTOML) as typeof BENTOML;
    const params = expected.routes[1]!.input.properties as unknown as {
      params: { properties: Json; required: string[] };
    };
    for (const [name, more] of Object.entries(OURS.params))
      params.params.properties[name] = { ...(params.params.properties[name] as Json), ...more };
    params.params.required = ["prompt"];
    const { low, high } = expected.routes[0]!.input.properties as Json;
    Object.assign(expected.routes[1]!.input.properties, { low, high });
    const several = structuredClone(expected.routes[1]) as unknown as Json & { input: { properties: typeof params } };
    several.input.properties.params.properties.num_images_per_prompt = {
      title: "Num Images Per Prompt",
      type: "integer",
      default: 1,
      minimum: 1,
      maximum: 16,
    };
    several.name = "generate_images";
    several.route = "/generate_images";
    several.output = {
      type: "object",
      properties: {
        images: { title: "Images", type: "array", items: picture },
        seed: { title: "Seed", type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
        warnings: { title: "Warnings", type: "array", items: { type: "string" } },
      },
      required: ["images", "warnings"],
    };
    (expected.routes as unknown as Json[]).push(several);
    Object.assign(expected.paths, { "/generate_images": { mounted: false } });
    for (const route of expected.routes as Json[])
      route.doc = ControlNet.apis[route.name as keyof typeof ControlNet.apis].description;
    expect(bentoSchema(ControlNet)).toEqual(expected);
  });

  test("keeps the order of arguments, by which clients match positional ones", () => {
    const schema = bentoSchema(ControlNet);
    expect(Object.keys(inputOf(schema, "edges").properties as Json)).toEqual(["image", "low", "high"]);
    expect(Object.keys(inputOf(schema, "generate").properties as Json)).toEqual(["image", "params", "low", "high"]);
    expect((schema.routes as Json[]).map(({ name }) => name)).toEqual(["edges", "generate", "generate_images"]);
  });

  test("survives JSON: nothing is undefined, referenced or defined elsewhere", () => {
    for (const contract of [ControlNet, SDXLControlNetService, Kinds]) {
      const schema = bentoSchema(contract);
      const text = JSON.stringify(schema);
      expect(JSON.parse(text)).toEqual(schema);
      expect(text).not.toMatch(/"(\$ref|\$defs|\$schema|additionalProperties)":(?!\{)/);
    }
  });

  test.each<[string, z.ZodType, Json]>([
    [
      "a tensor with its shape, one length free",
      ndarray("uint8", [2, "n"]),
      { type: "tensor", format: "numpy-array", dtype: "uint8", shape: [2, -1] },
    ],
    [
      "a tensor of two free lengths has no shape",
      ndarray("uint8", ["h", "w", 3]),
      { type: "tensor", format: "numpy-array", dtype: "uint8" },
    ],
    [
      "a described picture",
      image().describe("yours"),
      { type: "file", format: "image", pil: true, description: "yours" },
    ],
    ["an optional picture", image().optional(), { type: "file", format: "image", pil: true }],
    ["pictures", z.array(image()), { type: "array", items: { type: "file", format: "image", pil: true } }],
    ["bytes", bytes(), { type: "string", format: "binary" }],
    ["the first of alternatives", z.union([z.int(), z.string()]).describe("d"), { type: "integer", description: "d" }],
    ["null as an alternative", z.string().min(1).nullable(), { type: "string", minLength: 1 }],
    ["a tuple, with the items that clients look for", z.tuple([z.string()]), { type: "array", items: {} }],
    ["a list of anything", z.array(z.unknown()), { type: "array", items: {} }],
    ["a dictionary", z.record(z.string(), z.boolean()), { type: "object", additionalProperties: { type: "boolean" } }],
    ["choices", z.enum(["a", "b"]).default("a"), { type: "string", enum: ["a", "b"], default: "a" }],
    ["anything", z.unknown(), {}],
  ])("%s", (_what, schema, expected) => {
    const S = service("S", { apis: { a: api({ input: z.object({ some_field: schema }), output: z.null() }) } });
    const { some_field: field } = inputOf(bentoSchema(S), "a").properties as Record<string, Json>;
    expect(field).toMatchObject({ title: "Some Field", ...expected });
    if (!("shape" in expected)) expect(field).not.toHaveProperty("shape");
  });

  test("an api without arguments has properties all the same", () => {
    expect(inputOf(bentoSchema(Kinds), "nothing")).toEqual({ properties: {}, title: "Input", type: "object" });
  });

  test("a stream says so in its output", () => {
    const routes = bentoSchema(Kinds).routes as { name: string; output: Json }[];
    expect(routes.find(({ name }) => name === "texts")!.output).toEqual({
      type: "string",
      is_stream: true,
      media_type: "text/event-stream",
    });
  });

  test("is served", async () => {
    const { app } = await kindsApp();
    const response = await app.request("/schema.json");
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(await response.json()).toEqual(bentoSchema(Kinds));
  });
});

describe("docs.json", () => {
  test.each([ControlNet, SDXLControlNetService, Kinds])("of $name is valid OpenAPI 3.1", async (contract) => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(openApi(contract)));
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    // Throws where a reference leads nowhere.
    validator.resolveRefs();
  });

  test("the validator refuses what is none", async () => {
    const broken = { ...openApi(ControlNet), paths: { edges: {} } };
    expect((await new Validator().validate(structuredClone(broken))).valid).toBe(false);
  });

  test("pictures go up as files and come down as pictures", () => {
    const { post } = (openApi(ControlNet).paths as Record<string, { post: Json }>)["/generate"]!;
    expect(post).toMatchObject({
      operationId: "ControlNet__generate",
      requestBody: {
        content: {
          "multipart/form-data": {
            schema: { required: ["image", "params"], properties: { image: { type: "string", format: "binary" } } },
            encoding: { params: { contentType: "application/json" } },
          },
          "application/json": { schema: { properties: { image: { contentEncoding: "base64" } } } },
        },
      },
      responses: {
        "200": { content: { "image/png": {}, "image/jpeg": {}, "image/webp": {} } },
        "429": { $ref: "#/components/responses/429" },
      },
    });
  });

  test("has the pages and probes, each with its content type; they take no other method", async () => {
    const { app } = await kindsApp();
    const paths = openApi(Kinds).paths as Record<string, { get?: { responses: Record<string, { content: Json }> } }>;
    const pages = ["/", "/docs", "/docs.json", "/healthz", "/livez", "/metrics", "/readyz", "/schema.json"];
    expect(Object.keys(paths).filter((path) => paths[path]!.get)).toEqual(expect.arrayContaining(pages));
    for (const page of pages) {
      const response = await app.request(page);
      expect([page, response.status]).toEqual([page, 200]);
      expect(Object.keys(paths[page]!.get!.responses["200"]!.content)).toEqual([
        response.headers.get("content-type")!.split(";")[0],
      ]);
      const refused = await app.request(page, { method: "POST" });
      expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
  });

  test("is served, and so are its readable pages", async () => {
    const { app } = await kindsApp();
    expect(await (await app.request("/docs.json")).json()).toEqual(openApi(Kinds));
    for (const path of ["/docs", "/"]) {
      const response = await app.request(path);
      expect(response.headers.get("content-type")).toMatch(/^text\/html/);
      expect(await response.text()).toContain("Plain fields");
    }
  });
});
