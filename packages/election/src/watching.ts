/**
 * What the election hears without asking: its key, and its connection. The bucket's watch re-lists by itself; when it
 * ends all the same it is opened again, and the machine knows that it is blind meanwhile.
 */
import { backoffMs, type Env, type Logger, messageOf, type TaskGroup } from '@canopy/core';
import type { Kv, KvEntry, NatsSession } from '@canopy/nats';
import { type Sighting, sightingOf } from './lease/sighting.ts';
import type { MachineEvent } from './machine/state.ts';

export interface KeyWatchPorts {
  readonly kv: Kv;
  readonly key: string;
  readonly env: Pick<Env, 'clock' | 'random'>;
  readonly log: Logger;
  readonly tasks: TaskGroup;
  readonly feed: (event: MachineEvent) => void;
  /** How long whoever needs the watch waits for it to begin. */
  readonly boundMs: number;
}

/** The watch of the key, from its first `begin` until the tasks end. */
export class KeyWatch {
  readonly #ports: KeyWatchPorts;
  #begun: Promise<void> | undefined;

  constructor(ports: KeyWatchPorts) {
    this.#ports = ports;
  }

  /** Resolves when the watch hears every change from now on, or after `boundMs`. Never rejects. Idempotent. */
  begin(): Promise<void> {
    this.#begun ??= this.#begin();
    return this.#begun;
  }

  async #begin(): Promise<void> {
    const { tasks, feed, boundMs, env } = this.#ports;
    const synced = Promise.withResolvers<void>();
    const hear = (event: MachineEvent): void => {
      feed(event);
      if (event.type === 'synced') synced.resolve();
    };
    tasks.run('watch', (stopped) => follow(this.#ports, hear, stopped));
    await Promise.race([synced.promise, env.clock.sleep(boundMs, { signal: tasks.signal }).catch(() => {})]);
  }
}

async function follow(
  { kv, key, env, log }: KeyWatchPorts,
  feed: (event: MachineEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      log.debug('watch_started');
      for await (const event of kv.watch(key, { signal })) {
        if (event.type === 'entry') feed({ type: 'sighted', sighting: sighted(event.entry, log) });
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

function sighted(entry: KvEntry, log: Logger): Sighting {
  const sighting = sightingOf(entry);
  const { revision, content } = sighting;
  if (content === 'deleted' || content === 'empty') log.debug(`watch_event_key_${content}`, { revision });
  return sighting;
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
