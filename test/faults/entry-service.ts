import { type Apis, api, type CallContext, type Input, implement, service } from "#shared/index.ts";
import { Stub } from "./stub-service.ts";

/** What is before the stub, as ControlNet is before its GPU service. */
export const Entry = service("Entry", {
  traffic: { timeout: 60, maxConcurrency: 8 },
  dependencies: [Stub],
  apis: { work: api({ input: Stub.apis.work.input, output: Stub.apis.work.output }) },
});

export default class EntryImpl extends implement(Entry) implements Apis<typeof Entry> {
  readonly stub = this.depends(Stub);

  work(input: Input<typeof Entry, "work">, ctx: CallContext) {
    return this.stub.work(input, ctx);
  }
}
