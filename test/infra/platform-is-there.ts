/** Setup file of tests that load `infra/resources`, whose imports are of SST's platform: they are looked up before any hook runs. */
import { preparePlatform } from "#infra/platform/prepare.ts";

await preparePlatform();
