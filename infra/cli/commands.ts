import type { Command } from "commander";
import { guarded, wholeNumber } from "#shared/cli/program.ts";
import { addFlagOptions, addPlanOptions, type PlanOptions } from "./plan-options.ts";

const PROJECT = "folder with bentofile.yaml (default: the config file's bento, or .)";

/** Adds the commands that plan and deploy. What they do is loaded when it is asked for. */
export function addDeploymentCommands(program: Command): void {
  const plan = program
    .command("plan")
    .description(
      "show what a deployment would be, its canary versions with their shares, what it costs and what it needs; nothing is changed",
    )
    .argument("[project]", PROJECT);
  addPlanOptions(plan)
    .option(
      "--diff [plan]",
      "show what is different from a plan in a file, or from the one that the stage was deployed with",
    )
    .option("--json", "print the plan, or with --diff the changes, as JSON")
    .action(
      guarded(async (project: string | undefined, options: PlanOptions & { diff?: string | true; json?: boolean }) => {
        const { showPlan } = await import("./plan.ts");
        await showPlan(project, options);
      }),
    );

  const deploy = program
    .command("deploy")
    .description("deploy a project to your AWS account, or bring what is deployed to what the files say now")
    .argument("[project]", PROJECT);
  addRunOptions(addPlanOptions(deploy)).action(
    guarded(async (project: string | undefined, options: PlanOptions & RunOptions) => {
      const { deploy } = await import("./deploy.ts");
      await deploy(project, options);
    }),
  );

  const deployment = program.command("deployment").description("look at what is deployed, change it, remove it");
  place(deployment.command("list"), false)
    .description("show the deployments of a region")
    .action(guarded(async (options) => (await import("./deployment.ts")).list(options)));
  place(deployment.command("get <name>"))
    .description("show a deployment: its URL, replicas, queues and canary versions")
    .action(guarded(async (name, options) => (await import("./deployment.ts")).get(name, options)));
  const update = place(deployment.command("update <name>"), true, false)
    .description("deploy again with changes: a config file's fields and flags over what was deployed")
    .option("-f, --config-file <file>", "what changes; the rest stays as it was deployed");
  addRunOptions(addFlagOptions(update))
    .option("--bento <project>", PROJECT)
    .action(guarded(async (name, options) => (await import("./deployment.ts")).update(name, options)));
  addRunOptions(place(deployment.command("terminate <name>"), true, false))
    .description("remove a deployment from the account; production's store is kept")
    .option("--bento <project>", "the project's folder", ".")
    .option("--yes", "it is meant")
    .action(guarded(async (name, options) => (await import("./deployment.ts")).terminate(name, options)));
}

export interface RunOptions {
  timeout?: number;
  json?: boolean;
}

function addRunOptions(command: Command): Command {
  return command
    .option("--timeout <seconds>", "how long SST may take", wholeNumber, 3600)
    .option("--json", "print one JSON line when it is done; what SST says goes to standard error");
}

function place(command: Command, stage = true, json = true): Command {
  if (stage) command.option("--stage <stage>", "stage that it was deployed at", "dev");
  if (json) command.option("--json", "print JSON");
  return command.option("--region <region>", "AWS region (default: AWS's own settings)");
}
