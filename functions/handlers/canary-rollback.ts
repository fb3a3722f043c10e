/** The action of alarms that watch canary versions: takes the calls off one that fails. */
import { canaryRollback } from "#shared/lambda/canary-rollback.ts";

export const handler = canaryRollback();
