/** The main job on a fresh machine: the bundled picture through the two services, as separate processes. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { loadSharp } from "#shared/image/sharp.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { loadProject } from "#shared/serve/project.ts";
import { Supervisor } from "#shared/serve/supervisor.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const PICTURE = `${root}examples/cat-face.png`;
const RESULT = `${root}quickstart.png`;
const PROMPT = "an orange cat on a blue background";
/** Side of each of the three pictures in the result. */
const SIDE = 384;

let last = performance.now();
function done(what: string): void {
  const now = performance.now();
  console.log(`${what.padEnd(60)} ${((now - last) / 1000).toFixed(2)} s`);
  last = now;
}

console.log(`"${PROMPT}" along the edges of examples/cat-face.png`);
const project = await loadProject(root, `${root}config-file.yaml`);
const supervisor = new Supervisor(project, {
  host: "127.0.0.1",
  port: 0,
  workers: 1,
  configFile: `${root}config-file.yaml`,
});
process.once("SIGINT", () => void supervisor.stop().then(() => process.exit(130)));
try {
  const url = await supervisor.ready();
  const pids = project.deployables.map(({ service: { name } }) => `${name} (pid ${supervisor.pids(name).join(", ")})`);
  done(`started ${pids.join(" and ")}`);

  const image = new ImageValue(await readFile(PICTURE), "png");
  await using client = createClient(ControlNet, { url });
  const edges = await client.edges({ image });
  done("edges");
  let tenths = 0;
  const picture = await client.generate(
    { image, params: { prompt: PROMPT, seed: 1 } },
    {
      progress: (fraction) => {
        if (Math.floor(fraction * 10) <= tenths) return;
        tenths = Math.floor(fraction * 10);
        console.log(`  denoising ${tenths * 10} %`);
      },
    },
  );
  done("picture");
  await writeSideBySide([image, edges, picture]);
  done("input, edges and result side by side");
} finally {
  await supervisor.stop();
}
console.log(RESULT);

async function writeSideBySide(pictures: ImageValue[]): Promise<void> {
  const sharp = await loadSharp();
  const tiles = await Promise.all(
    pictures.map(({ bytes }) =>
      sharp(bytes).toColourspace("srgb").resize(SIDE, SIDE, { fit: "contain", background: "white" }).png().toBuffer(),
    ),
  );
  await sharp({ create: { width: SIDE * tiles.length, height: SIDE, channels: 3, background: "white" } })
    .composite(tiles.map((input, index) => ({ input, left: SIDE * index, top: 0 })))
    .png()
    .toFile(RESULT);
}
