import { enableCompileCache } from "node:module";

enableCompileCache();
const { program } = await import("../shared/cli/program.ts");
const { addDeploymentCommands } = await import("../infra/cli/commands.ts");
addDeploymentCommands(program);
await program.parseAsync();
