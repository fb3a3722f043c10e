/** `node writing-process.ts FOLDER`: writes objects, each of one byte over and over, until it or its parent is killed. */
import { DiskStore } from "#shared/store/disk-store.ts";

process.on("disconnect", () => process.exit());
const store = new DiskStore(process.argv[2]!);
for (let i = 0; ; i++) {
  const [key, half] = [`calls/${i % 10}`, Buffer.alloc(1_000_000, i % 256)];
  await store.put(`${key}/value`, [half, half]);
  await store.delete(`${key}/once`);
  await store.put(`${key}/once`, [half], { ifAbsent: true });
  if (i === 20) process.send!("writing");
}
