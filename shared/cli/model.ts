import { resolve } from "node:path";
import { pushModel } from "../model/push-model.ts";
import { verifyModel } from "../model/verify-model.ts";

/** `tandem model push`: writes a model's manifest and sends its files to where containers fetch them from. */
export async function pushModelCommand(folder: string, url: string, { json }: { json?: boolean }): Promise<void> {
  const told = (path: string, sent: boolean): void => {
    if (!json) console.log(`${sent ? "sent" : "there"}  ${path}`);
  };
  const { manifest, sent } = await pushModel(resolve(folder), url, told);
  const bytes = manifest.files.reduce((sum, { size }) => sum + size, 0);
  if (json) console.log(JSON.stringify({ url, files: manifest.files.length, bytes, sent }));
  else console.log(`${manifest.files.length} files, ${bytes} bytes, at ${url}: set TANDEM_MODEL_URL to it`);
}

/** `tandem model verify`: compares a model's files with its manifest. */
export async function verifyModelCommand(folder: string, { json }: { json?: boolean }): Promise<void> {
  const { files, bytes, faults } = await verifyModel(resolve(folder));
  if (json) console.log(JSON.stringify({ files, bytes, faults }));
  else for (const { path, fault } of faults) console.log(`${path}: ${told[fault]}`);
  if (faults.length > 0) throw new Error(`${faults.length} of ${files} files are not what the manifest lists`);
  if (!json) console.log(`${files} files, ${bytes} bytes: all are what the manifest lists`);
}

const told = { missing: "is missing", size: "has another size", sha256: "has another sha256" };
