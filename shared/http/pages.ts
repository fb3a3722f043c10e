import { html, raw } from "hono/html";
import { binaryOf } from "../codec/binary-field.ts";
import { ERROR_CODES } from "../errors/codes.ts";
import type { Service } from "../service/contract.ts";
import { bentoSchema, type JsonSchema } from "./json-schema.ts";

const STYLE = raw(`<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  section { border-top: 1px solid #8884; padding: 1rem 0; }
  form { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem; align-items: center; }
  form button { grid-column: 2; justify-self: start; padding: .4rem 1.2rem; font: inherit; }
  input, select, textarea { font: inherit; padding: .3rem; }
  output { display: block; margin-top: 1rem; white-space: pre-wrap; }
  output img { max-width: 100%; min-width: min(16rem, 100%); image-rendering: auto; }
  table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
  code, pre { font-size: .9em; } pre { overflow: auto; }
  .error { color: #c33; }
</style>`);

/** Sends a form as one part a field and shows what comes back: a picture as a picture, errors with their field. */
const SCRIPT = raw(`<script>
  for (const form of document.forms) form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.nextElementSibling, button = form.querySelector("button");
    const body = new FormData(), nested = {};
    for (const input of form.elements) {
      if (!input.name) continue;
      if (input.type === "file") { if (input.files[0]) body.append(input.name, input.files[0]); continue; }
      if (input.value === "") continue;
      const value = input.dataset.text === undefined ? JSON.parse(input.value) : input.value;
      const [field, member] = input.name.split(".");
      if (member) (nested[field] ??= {})[member] = value;
      else body.append(field, JSON.stringify(value));
    }
    for (const [field, value] of Object.entries(nested)) body.append(field, JSON.stringify(value));
    button.disabled = true; output.className = ""; output.textContent = "Working …";
    const started = performance.now();
    try {
      const response = await fetch(form.action, { method: "POST", body });
      const seconds = ((performance.now() - started) / 1000).toFixed(2) + " s";
      const picture = async (source) => {
        const shown = new Image();
        shown.src = source; shown.alt = "The result";
        await shown.decode();
        return shown;
      };
      const note = [seconds, response.headers.get("tandem-warning")].filter(Boolean).join("\\n");
      if (response.ok && response.headers.get("content-type").startsWith("image/")) {
        const shown = await picture(URL.createObjectURL(await response.blob()));
        output.replaceChildren(shown, document.createElement("br"), note);
      } else if (response.ok) {
        const text = await response.text();
        const sources = [...text.matchAll(/"(data:image[^"]+)"/g)].map(([, source]) => source);
        const rest = text.replaceAll(/"data:image[^"]+"/g, '"..."');
        output.replaceChildren(...await Promise.all(sources.map(picture)), document.createElement("br"), rest);
      }
      else {
        const { error, code } = await response.json();
        output.className = "error"; output.textContent = response.status + " " + code + ": " + error;
      }
    } catch (error) { output.className = "error"; output.textContent = String(error); }
    button.disabled = false;
  });
</script>`);

/** The playground at `/`: a form for every api. */
export function playgroundPage(service: Service) {
  const { routes } = bentoSchema(service) as { routes: { name: string; doc?: string; input: JsonSchema }[] };
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${service.name}</title>
    <meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">${STYLE}</head><body>
    <h1>${service.name}</h1><p>${service.description ?? ""} <a href="docs">API</a></p>
    ${routes.map(
      ({ name, doc, input }) => html`<section><h2>${name}</h2><p>${doc ?? ""}</p>
      <form action="${name}" method="post">${fieldsOf(name, input, "")}<button>Run</button></form><output></output></section>`,
    )}${SCRIPT}</body></html>`;
}

function fieldsOf(api: string, schema: JsonSchema, prefix: string): unknown {
  const required = new Set((schema.required as string[] | undefined) ?? []);
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).map(([name, field]) => {
    const path = prefix + name;
    const id = `${api}.${path}`;
    if (field.type === "object" && prefix === "") return fieldsOf(api, field, `${name}.`);
    const need = required.has(name) ? "required" : "";
    const hint = field.default === undefined || field.default === null ? "" : JSON.stringify(field.default);
    const control =
      field.type === "file" || field.format === "binary"
        ? html`<input type="file" id="${id}" name="${path}" ${need}>`
        : Array.isArray(field.enum)
          ? html`<select id="${id}" name="${path}" data-text ${need}><option></option>${field.enum.map((one) => html`<option>${one}</option>`)}</select>`
          : field.type === "number" || field.type === "integer"
            ? html`<input type="number" step="any" id="${id}" name="${path}" placeholder="${hint}" ${need}>`
            : field.type === "string"
              ? html`<input id="${id}" name="${path}" data-text placeholder="${hint}" ${need}>`
              : html`<textarea id="${id}" name="${path}" placeholder="JSON ${hint}" ${need}></textarea>`;
    return html`<label for="${id}">${name}</label>${control}`;
  });
}

/** The readable API page at `/docs`. */
export function apiPage(service: Service) {
  const { routes } = bentoSchema(service) as { routes: { name: string; doc?: string; input: JsonSchema }[] };
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${service.name} API</title>
    <meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">${STYLE}</head><body>
    <h1>${service.name} API</h1><p>${service.description ?? ""}
    Machine-readable: <a href="docs.json">OpenAPI 3.1</a>, <a href="schema.json">BentoML's schema</a>.</p>
    ${routes.map(({ name, doc, input }) => {
      const example = exampleOf(name, service);
      return html`<section><h2>POST /${name}</h2><p>${doc ?? ""}</p><table><tr><th>Field</th><th>Type</th><th>Default</th></tr>
        ${rowsOf(input, "")}</table><pre>${example}</pre></section>`;
    })}
    <section><h2>Errors</h2><p>An error is <code>{"error", "code", "detail"?}</code> with one of these statuses.</p><table>
    ${Object.entries(ERROR_CODES).map(
      ([code, { status, meaning }]) =>
        html`<tr><td>${status}</td><td><code>${code}</code></td><td>${meaning}</td></tr>`,
    )}</table></section></body></html>`;
}

function rowsOf(schema: JsonSchema, prefix: string): unknown {
  const required = new Set((schema.required as string[] | undefined) ?? []);
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).map(([name, field]) => {
    if (field.type === "object" && field.properties) return rowsOf(field, `${prefix}${name}.`);
    const initial = required.has(name) ? "required" : field.default === undefined ? "" : JSON.stringify(field.default);
    const named = field.type === "file" ? "picture" : String(field.type ?? "any");
    const type = Array.isArray(field.enum) ? `one of ${field.enum.join(", ")}` : named;
    return html`<tr><td><code>${prefix}${name}</code></td><td>${type}</td><td>${initial}</td></tr>`;
  });
}

function exampleOf(name: string, service: Service): string {
  const input = service.apis[name]?.input as { shape?: Record<string, object> } | undefined;
  const parts = Object.entries(input?.shape ?? {}).map(([field, schema]) =>
    binaryOf(schema)?.kind === "image" ? `-F ${field}=@picture.png` : `-F '${field}=...'`,
  );
  return `curl ${parts.join(" ")} http://127.0.0.1:3000/${name} -o result`;
}
