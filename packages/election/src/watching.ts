/**
 * What the election hears without asking: its key, and its connection. The bucket's watch re-lists by itself; when it
 * ends all the same it is opened again, and the machine knows that it is blind meanwhile.
 */
import { backoffMs, type Env, type Logger, messageOf } from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import { sightingOf } from './lease/sighting.ts';
import type { MachineEvent } from './machine/state.ts';

/** Follows the key until the signal aborts. */
export async function followKey(
  kv: Kv,
  key: string,
  env: Pick<Env, 'clock' | 'random'>,
  log: Logger,
  feed: (event: MachineEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      log.debug('watch_started');
      for await (const event of kv.watch(key, { signal })) {
        if (event.type === 'entry') feed({ type: 'sighted', sighting: sightingOf(event.entry) });
        else feed({ type: event.type });
        if (event.type === 'synced') attempt = 0;
      }
    } catch (error) {
      if (!signal.aborted) log.warn('watch_failed', { error: messageOf(error) });
    }
    if (signal.aborted) return;
    log.debug('watch_closed');
    feed({ type: 'interrupted' });
    const waitMs = backoffMs(attempt, { initialMs: 100, maxMs: 5000 }, env.random);
    await env.clock.sleep(waitMs, { signal }).catch(() => {});
  }
}

/**
 * What is heard before anybody listens: the watch begins before the first look at the key, so that a release between the
 * two is not missed. Passes everything on, in order, from `open` on.
 */
export class EarlyWatch {
  readonly #synced = Promise.withResolvers<void>();
  #kept: MachineEvent[] | undefined = [];
  #pass: (event: MachineEvent) => void = () => {};

  readonly hear = (event: MachineEvent): void => {
    if (event.type === 'synced') this.#synced.resolve();
    if (this.#kept === undefined) this.#pass(event);
    else this.#kept.push(event);
  };

  /** Resolves when the watch sees every change from now on, or after `boundMs`: then the first look is all there is. */
  async ready(env: Pick<Env, 'clock'>, boundMs: number, signal: AbortSignal): Promise<void> {
    await Promise.race([this.#synced.promise, env.clock.sleep(boundMs, { signal }).catch(() => {})]);
  }

  open(pass: (event: MachineEvent) => void): void {
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    this.#pass = pass;
    for (const event of kept) pass(event);
  }
}

/** Follows the connection until the signal aborts or the session closes; a closed one counts as disconnected. */
export async function followSession(
  session: NatsSession,
  log: Logger,
  onConnection: (up: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of session.watch({ signal })) {
    onConnection(event.type === 'connected');
    if (event.type === 'closed') log.warn('connection_closed', { error: event.error?.message });
  }
}
