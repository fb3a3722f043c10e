/// <reference path="./.sst/platform/config.d.ts" />

export default $config({
  async app({ stage }) {
    const { appOf } = await import("./infra/app.ts");
    // SST runs a bundle of this file from .sst/platform.
    const root = (await import("node:url")).fileURLToPath(new URL("../..", import.meta.url));
    const { name, region, production, tags } = appOf(root, stage);
    return {
      name,
      home: "aws",
      removal: production ? "retain" : "remove",
      protect: production,
      providers: { aws: { version: "7.20.0", region: region as aws.Region, defaultTags: { tags } } },
    };
  },
  async run() {
    const { program } = await import("./infra/program.ts");
    return program();
  },
});
