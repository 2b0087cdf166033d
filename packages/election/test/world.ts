/** Elections over the memory twin on a virtual clock, with a network that can fail and everything said remembered. */
import { noTracer } from '@canopy/core';
import { memoryLogger, memoryMetrics, seededRandom, VirtualClock } from '@canopy/core/testing';
import type { Kv } from '@canopy/nats';
import { MemoryNats, type MemorySession } from '@canopy/nats/memory';
import { decodeLease, Election, type ElectionOptions, type LeaseValue } from '../src/index.ts';

export const TTL = 3000;

export class World {
  readonly clock = new VirtualClock();
  readonly hub = new MemoryNats({ clock: this.clock, random: seededRandom('hub') });
  readonly #logger = memoryLogger();
  readonly #metrics = memoryMetrics();
  readonly lines = this.#logger.lines;
  readonly sessions = new Map<string, MemorySession>();

  env(seed: string) {
    const { log } = this.#logger;
    return { clock: this.clock, random: seededRandom(seed), log, metrics: this.#metrics.metrics, tracer: noTracer };
  }

  session(name: string): MemorySession {
    const session = this.hub.session({ name, env: this.env(name) });
    this.sessions.set(name, session);
    return session;
  }

  make(instanceId: string, options: Partial<ElectionOptions> = {}): Election {
    const session = this.session(instanceId);
    return new Election(
      { session, bucket: 'elections', group: 'g', instanceId, ttl: TTL, ...options },
      this.env(instanceId),
    );
  }

  async start(election: Election): Promise<Election> {
    await Promise.all([election.start(), this.clock.advance(100)]);
    return election;
  }

  async stop(...elections: readonly Election[]): Promise<void> {
    for (const election of elections) {
      let stopped = false;
      const stopping = election.stop().then(() => {
        stopped = true;
      });
      for (let i = 0; i < 400 && !stopped; i++) await this.clock.advance(50);
      await stopping;
    }
  }

  /** The bucket as a bystander sees it. */
  kv(bucket = 'elections'): Promise<Kv> {
    return this.hub.session({ name: 'bystander' }).kv(bucket);
  }

  async lease(): Promise<LeaseValue | undefined> {
    const entry = await (await this.kv()).get('g');
    return entry === undefined ? undefined : decodeLease(entry.value);
  }

  /** Somebody else writes the key, by its revision; the text as it is. */
  async overwrite(text: string): Promise<number> {
    const kv = await this.kv();
    const entry = await kv.get('g');
    const value = new TextEncoder().encode(text);
    return entry === undefined ? kv.create('g', value) : kv.update('g', value, entry.revision);
  }

  metric(name: string, instanceId: string, more: Readonly<Record<string, string>> = {}): number | undefined {
    return this.#metrics.value(name, { role: 'g', instance_id: instanceId, bucket: 'elections', ...more });
  }

  said(event: string): number {
    return this.lines.filter((line) => line.event === event).length;
  }
}

/** The bucket with another watch. */
export function withWatch(kv: Kv, watch: Kv['watch']): Kv {
  return new Proxy(kv, {
    get: (target, name) => {
      if (name === 'watch') return watch;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
