/** Fetches a model: `node fetching-process.ts URL FOLDER`. Says where it is. */
import { fetchModel } from "#shared/model/fetch-model.ts";

const [url, folder] = process.argv.slice(2);
console.log(await fetchModel({ url: url!, folder: folder! }));
