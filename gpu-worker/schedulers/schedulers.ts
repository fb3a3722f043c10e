import { z } from "zod";
import { SCHEDULERS, type SchedulerName } from "#shared/contracts/sdxl-controlnet.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { DPMSolverMultistepScheduler } from "./dpm-solver-multistep.ts";
import { EulerAncestralDiscreteScheduler } from "./euler-ancestral-discrete.ts";
import { EulerDiscreteScheduler } from "./euler-discrete.ts";
import { LCMScheduler } from "./lcm.ts";
import { parseConfig } from "./noise-table.ts";
import type { Scheduler } from "./scheduler.ts";

const CLASSES = {
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  DPMSolverMultistepScheduler,
  LCMScheduler,
} satisfies Record<string, new (config: unknown) => Scheduler>;
type ClassName = keyof typeof CLASSES;

/** Short names as the user interfaces have them: the class, and what of the model's config they change. */
const SHORT: Record<Exclude<SchedulerName, ClassName>, readonly [ClassName, Record<string, unknown>?]> = {
  euler: ["EulerDiscreteScheduler"],
  euler_a: ["EulerAncestralDiscreteScheduler"],
  "dpm++_2m": ["DPMSolverMultistepScheduler"],
  "dpm++_2m_karras": ["DPMSolverMultistepScheduler", { use_karras_sigmas: true }],
  lcm: ["LCMScheduler"],
};

const ModelsOwn = z.looseObject({
  _class_name: z.enum(Object.keys(CLASSES) as ClassName[]).default("EulerDiscreteScheduler"),
});

/**
 * The samplers that a model can be run with: its own, and others made of its config as diffusers'
 * `Scheduler.from_config(pipeline.scheduler.config)` makes them.
 */
export class Schedulers {
  /** The class that the model's config names. */
  readonly modelsOwn: Scheduler;
  readonly #config: z.output<typeof ModelsOwn>;
  readonly #made = new Map<SchedulerName, Scheduler>();

  /**
   * @param config parsed `scheduler_config.json`
   * @throws ServiceError INTERNAL naming the field whose value isn't supported.
   */
  constructor(config: unknown) {
    this.#config = parseConfig(ModelsOwn, config);
    this.modelsOwn = new CLASSES[this.#config._class_name](this.#config);
    this.#made.set(this.#config._class_name, this.modelsOwn);
  }

  /**
   * The sampler of that name, the model's own for undefined.
   * @throws ServiceError INVALID_ARGUMENT naming the names that there are, or what of the model's config it can't do.
   */
  get(name: string | undefined): Scheduler {
    if (name === undefined) return this.modelsOwn;
    const known = SCHEDULERS.find((one) => one === name);
    if (!known) throw refused(`scheduler is ${name}`, `give one of ${SCHEDULERS.join(", ")}`);
    const made = this.#made.get(known) ?? this.#make(known);
    this.#made.set(known, made);
    return made;
  }

  #make(name: SchedulerName): Scheduler {
    const [className, change] = name in CLASSES ? [name as ClassName] : SHORT[name as keyof typeof SHORT];
    try {
      return new CLASSES[className]({ ...this.#config, ...change });
    } catch (error) {
      throw refused(`scheduler ${name} can't run this model: ${ServiceError.from(error).message}`, "leave it out");
    }
  }
}

function refused(found: string, fix: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${found}; ${fix}`, { detail: [{ path: ["scheduler"], message: fix }] });
}
