/** Something that happens once; tests wait for it instead of sleeping. */
export class Event<T = void> {
  readonly happened: Promise<T>;
  readonly happen: (value: T) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<T>();
    this.happened = promise;
    this.happen = resolve;
  }
}

/** A point in a fixture's work at which a test holds it, and sees what its context does meanwhile. */
export class Gate {
  readonly entered = new Event();
  /** The signal's reason, once it fired. */
  readonly aborted = new Event<unknown>();
  /** A generator behind the gate was told to end. */
  readonly stopped = new Event();
  readonly #opened = new Event();

  open(): void {
    this.#opened.happen();
  }

  /** Waits until the gate opens or, unless it is to be stubborn, the signal fires. */
  async pass(signal: AbortSignal, stubborn = false): Promise<void> {
    const abort = (): void => this.aborted.happen(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
    this.entered.happen();
    if (stubborn) return this.#opened.happened;
    await Promise.race([this.#opened.happened, this.aborted.happened]);
    signal.throwIfAborted();
  }
}

const gates = new Map<string, Gate>();
let names = 0;

/** A new gate and the name by which a call carries it to a service in this process. */
export function newGate(): { name: string; gate: Gate } {
  const gate = new Gate();
  const name = `gate ${++names}`;
  gates.set(name, gate);
  return { name, gate };
}

export function gateOf(name: string): Gate {
  const gate = gates.get(name);
  if (!gate) throw new Error(`no gate "${name}"`);
  return gate;
}
