import type { Bentofile } from "#shared/config/bentofile.ts";
import type { ConfigFile } from "#shared/config/config-file.ts";
import type { PlanReport } from "./plan-report.ts";

/** AWS's: characters of a tag, and how long its key and value may be. */
const CHARACTERS = /^[\p{L}\p{N}\s+\-=._:/@]*$/u;
const KEY_LENGTH = 128;
const VALUE_LENGTH = 256;
/** A resource takes 50; SST and Tandem have some of their own. */
const MOST = 40;

/** Labels of both files as tags, those of config-file.yaml winning, and Tandem's own. */
export function tagsOf(
  name: string,
  stage: string,
  bentofile: Bentofile,
  { labels = [] }: ConfigFile,
  report: PlanReport,
): Record<string, string> {
  const given = labels.map(({ key, value }, index) => ({ key, value, path: ["labels", index] }));
  const declared = Object.entries(bentofile.labels ?? {}).map(([key, value]) => ({ key, value, path: [] }));
  for (const { key, value, path } of [...declared, ...given]) {
    const whose = path.length === 0 ? "bentofile.yaml's label" : "label";
    if (/^(aws|tandem):/i.test(key)) report.error(path, `${whose} ${key} is reserved`, "name it without the prefix");
    else if (!CHARACTERS.test(key + value) || key.length > KEY_LENGTH || value.length > VALUE_LENGTH)
      report.error(
        path,
        `${whose} ${key} cannot be a tag of AWS's`,
        `take letters, digits, spaces and + - = . _ : / @, at most ${KEY_LENGTH} of a key and ${VALUE_LENGTH} of a value`,
      );
  }
  const tags = Object.fromEntries([...declared, ...given].map(({ key, value }) => [key, value]));
  if (Object.keys(tags).length > MOST)
    report.error(["labels"], `${Object.keys(tags).length} labels are too many tags`, `keep ${MOST}`);
  return { ...tags, "tandem:deployment": name, "tandem:stage": stage };
}
