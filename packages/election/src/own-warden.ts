/** The warden process of one election: started before it stands, told its fences, stopped after its lease is released. */
import type { Env } from '@canopy/core';
import { Warden, type WardenLease } from './warden/index.ts';
import type { ResolvedWarden } from './warden-option.ts';

export class OwnWarden {
  readonly lease: WardenLease;
  readonly #choice: ResolvedWarden;
  readonly #warden: Warden;

  constructor(choice: ResolvedWarden, instanceId: string, group: string, env: Env) {
    const { connection, drainMs } = choice;
    this.#choice = choice;
    this.#warden = new Warden({ connection, node: instanceId, drainMs }, env);
    this.lease = this.#warden.lease(group);
  }

  /** Resolves when the warden runs and knows its fences. WARDEN_START_FAILED. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    await this.#warden.start({ signal });
    if (this.#choice.fences.length > 0) await this.lease.fences(this.#choice.fences);
  }

  /** Within `timeoutMs`; a fence that takes longer goes on in the warden. */
  stop(timeoutMs: number): Promise<void> {
    return this.#warden.stop({ timeoutMs });
  }
}
