/** Writes what is made from the schemas: JSON Schema files, and the tables of docs/config.md. Run it with node. */
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bentofile } from "./bentofile.ts";
import { configFile } from "./config-file.ts";
import { fieldTables } from "./field-table.ts";
import { jsonSchemaOf } from "./json-schema.ts";

const DOCUMENT = new URL("../../docs/config.md", import.meta.url);

/** Every generated file, as it should be. */
export async function generated(): Promise<Map<URL, string>> {
  const file = (name: string) => new URL(name, import.meta.url);
  const text = (schema: object) => `${JSON.stringify(schema, null, 2)}\n`;
  const document = await readFile(DOCUMENT, "utf8");
  return new Map([
    [
      file("config-file.schema.json"),
      text(jsonSchemaOf(configFile, "config-file.yaml of Tandem", { extensions: true })),
    ],
    [file("bentofile.schema.json"), text(jsonSchemaOf(bentofile, "bentofile.yaml of Tandem"))],
    [DOCUMENT, withTable(withTable(document, "config-file.yaml", configFile), "bentofile.yaml", bentofile)],
  ]);
}

/** The document with the tables between two of its marks made anew. */
function withTable(document: string, name: string, schema: Parameters<typeof fieldTables>[0]): string {
  const [start, end] = [`<!-- fields of ${name} -->`, `<!-- end of ${name} -->`];
  const [before, rest] = document.split(start);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/config.md lacks ${start} or ${end}`);
  return `${before}${start}\n\n${fieldTables(schema)}\n\n${end}${after}`;
}

if (import.meta.main) {
  const files = await generated();
  for (const [path, text] of files) await writeFile(path, text);
  execFileSync("npx", ["biome", "format", "--write", fileURLToPath(new URL(".", import.meta.url))], {
    stdio: "inherit",
  });
}
