import { preparePlatform } from "#infra/platform/prepare.ts";

/** Begins what tests of infra wait for; what it fails with is theirs to tell. */
export default function setup(): () => Promise<unknown> {
  const prepared = preparePlatform().catch(() => {});
  return () => prepared;
}
