import type { Command } from "commander";
import { guarded } from "#shared/cli/program.ts";
import { addPlanOptions, type PlanOptions } from "./plan-options.ts";

/** Adds the commands that plan and deploy. What they do is loaded when it is asked for. */
export function addDeploymentCommands(program: Command): void {
  const plan = program
    .command("plan")
    .description("show what a deployment would be, what it costs and what it needs; nothing is changed")
    .argument("[project]", "folder with bentofile.yaml (default: the config file's bento, or .)");
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
}
