/**
 * SIGINT, SIGTERM and SIGHUP while a verb runs for long: the first ends the waiting and is handed on, a second is urgent.
 * Node would otherwise end this process at once and leave the ending of the command to the warden.
 */
import { constants } from 'node:os';

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `times`: how many signals have come by now, this one included. */
export type OnSignal = (name: NodeJS.Signals, times: number) => void;

export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #listeners = new Set<OnSignal>();
  readonly #handler = (name: NodeJS.Signals): void => this.#heard(name);
  #first: NodeJS.Signals | undefined;
  #times = 0;

  constructor() {
    for (const name of NAMES) process.on(name, this.#handler);
  }

  /** Aborts at the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code that tells of the first signal, as a shell would; undefined without one. */
  get code(): number | undefined {
    return this.#first === undefined ? undefined : 128 + constants.signals[this.#first];
  }

  /** Hears every signal from now on, and the first one if it has come already. */
  forward(listener: OnSignal): Disposable {
    this.#listeners.add(listener);
    if (this.#first !== undefined) listener(this.#first, this.#times);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    for (const name of NAMES) process.off(name, this.#handler);
  }

  #heard(name: NodeJS.Signals): void {
    this.#times += 1;
    this.#first ??= name;
    for (const listener of this.#listeners) listener(name, this.#times);
    if (this.#times === 1) this.#controller.abort(new DOMException(name, 'AbortError'));
  }
}
