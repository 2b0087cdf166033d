/**
 * Random schedules of a subscriber: events come in, pushes get lost, late or doubled, reads and handlers fail, it pauses, dies and is made anew; and the
 * checker of what it promised. Everything follows from the seed.
 */
import { type Random, systemEnv } from '@canopy/core';
import { seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import {
  type EffectTransaction,
  EventSubscriber,
  type EventSubscriberConfig,
  type PipelineSource,
  type SourceBatch,
  type SourceEvent,
} from '../../src/index.ts';
import { eventAt, PlainCheckpoints } from './plain-source.ts';
import { SmallStore } from './small-store.ts';

/** What happened, in its order. */
export type Step =
  | {
      readonly type: 'handled';
      readonly life: number;
      readonly topic: string;
      readonly offset: number;
      readonly key: string;
    }
  | { readonly type: 'failed'; readonly life: number; readonly topic: string; readonly offset: number }
  | { readonly type: 'checkpoint'; readonly topic: string; readonly offset: number };

export interface History {
  readonly steps: readonly Step[];
  /** Topic to the keys of its events, by offset. */
  readonly topics: ReadonlyMap<string, readonly string[]>;
  /** Key to how often its effect was made, of a run with a store. */
  readonly effects: ReadonlyMap<string, number> | undefined;
  readonly strict: boolean;
  /** Keys were remembered, in memory only or with the store. */
  readonly keys: boolean;
}

export type Planted = 'none' | 'checkpoint-ahead' | 'lost-event' | 'doubled-effect' | 'out-of-order';

const TOPICS = ['a', 'b'];

class ChaosSource implements PipelineSource {
  readonly topics = new Map<string, SourceEvent[]>(TOPICS.map((topic) => [topic, []]));
  readonly callbacks = new Map<string, (event: SourceEvent) => void>();
  readonly #random: Random;
  readonly #clock: VirtualClock;
  calm = false;

  constructor(random: Random, clock: VirtualClock) {
    this.#random = random;
    this.#clock = clock;
  }

  append(topic: string): void {
    const held = this.topics.get(topic) as SourceEvent[];
    const twin = held[Math.floor(this.#random.next() * held.length)];
    const key = twin !== undefined && this.#random.next() < 0.1 ? twin.idempotencyKey : `${topic}${held.length}`;
    const event = eventAt(topic, held.length, key);
    held.push(event);
    const pushes = this.#random.next() < 0.3 ? 0 : this.#random.next() < 0.2 ? 2 : 1;
    for (let i = 0; i < pushes; i++) {
      const delay = this.#random.next() < 0.5 ? 0 : this.#random.next() * 50;
      this.#clock.timer(delay, () => this.callbacks.get(topic)?.(event));
    }
  }

  async connect(topic: string) {
    return { topic, offset: 0 };
  }
  async disconnect() {}
  subscribe(topic: string, callback: (event: SourceEvent) => void) {
    this.callbacks.set(topic, callback);
  }
  unsubscribe(topic: string) {
    this.callbacks.delete(topic);
  }
  async consume(topic: string, from: number, limit: number): Promise<SourceBatch> {
    if (!this.calm) {
      if (this.#random.next() < 0.5) await this.#clock.sleep(this.#random.next() * 20);
      if (this.#random.next() < 0.15) throw new Error('read');
    }
    const held = this.topics.get(topic) as SourceEvent[];
    const events = held.slice(from, from + limit);
    return { events, nextOffset: from + events.length, hasMore: from + events.length < held.length };
  }
  async getLatestOffset(topic: string) {
    return (this.topics.get(topic)?.length ?? 0) - 1;
  }
}

/** Runs one schedule. */
export async function runSchedule(seed: number, planted: Planted = 'none'): Promise<History> {
  const random = seededRandom(`subscriber-${seed}`);
  const clock = new VirtualClock();
  const env = systemEnv({ clock, random: seededRandom(`inner-${seed}`) });
  const source = new ChaosSource(random, clock);
  const store = random.next() < 0.5 ? new SmallStore() : undefined;
  const strict = random.next() < 0.3;
  const keys = random.next() < 0.5;
  const steps: Step[] = [];
  const checkpointStore = new PlainCheckpoints();
  const set = checkpointStore.set.bind(checkpointStore);
  let life = 0;
  const spawn = (): { subscriber: EventSubscriber; kill: () => void } => {
    life += 1;
    const mine = life;
    const dead = (): boolean => mine !== life;
    const handle = async (event: SourceEvent, tx: EffectTransaction): Promise<void> => {
      if (!source.calm && random.next() < 0.4) await clock.sleep(random.next() * 30);
      if (dead()) await new Promise(() => {});
      if (!source.calm && random.next() < 0.15) {
        steps.push({ type: 'failed', life: mine, topic: event.topic, offset: event.offset });
        throw new Error('handler');
      }
      const key = event.idempotencyKey as string;
      if (store !== undefined) tx.put('effects', key, Number(tx.get('effects', key) ?? 0) + 1);
      steps.push({ type: 'handled', life: mine, topic: event.topic, offset: event.offset, key });
    };
    const config: EventSubscriberConfig = {
      namespace: 't',
      checkpointStore: {
        ...checkpointStore,
        get: (key) => checkpointStore.get(key),
        set: async (key, offset) => {
          if (dead()) return new Promise(() => {});
          await set(key, offset);
          steps.push({ type: 'checkpoint', topic: key, offset });
        },
        delete: (key) => checkpointStore.delete(key),
        getAll: () => checkpointStore.getAll(),
      },
      onEvent: handle,
      batchSize: 1 + Math.floor(random.next() * 5),
      pollInterval: 40,
      retryDelay: 10,
      maxAhead: strict ? 0 : 1 + Math.floor(random.next() * 6),
      pushBufferSize: 2,
      enableIdempotency: keys,
      idempotencyWindowMs: 10_000_000,
      ...(store === undefined
        ? { checkpointMode: random.next() < 0.5 ? 'auto' : 'interval', checkpointInterval: 60 }
        : {}),
      ...(store === undefined ? {} : { effectStore: store }),
    };
    const subscriber = new EventSubscriber(source, config, env);
    return {
      subscriber,
      kill: () => {
        life += 1;
        source.callbacks.clear();
        void subscriber.close();
      },
    };
  };
  const begin = async (): Promise<ReturnType<typeof spawn>> => {
    const born = spawn();
    for (const topic of TOPICS) await born.subscriber.subscribe(topic);
    born.subscriber.start();
    return born;
  };
  let now = await begin();
  for (let round = 0; round < 60; round++) {
    const dice = random.next();
    const topic = TOPICS[Math.floor(random.next() * TOPICS.length)] as string;
    if (dice < 0.55) source.append(topic);
    else if (dice < 0.65) void now.subscriber.poll().catch(() => {});
    else if (dice < 0.7) void now.subscriber.pause(topic);
    else if (dice < 0.8) now.subscriber.resume();
    else if (dice < 0.85) {
      now.kill();
      now = await begin();
    } else if (dice < 0.87) {
      void now.subscriber.close();
      await clock.advance(20_000);
      now = await begin();
    }
    await clock.advance(random.next() * 40);
  }
  source.calm = true;
  now.subscriber.resume();
  await clock.advance(5000);
  const closing = now.subscriber.close();
  await clock.advance(20_000);
  await closing;
  await settle();
  const topics = new Map(
    [...source.topics].map(([name, events]) => [name, events.map((event) => event.idempotencyKey as string)]),
  );
  const effects =
    store === undefined ? undefined : new Map([...store.scan('effects')].map(([key, n]) => [key, Number(n)]));
  return plant({ steps, topics, effects, strict, keys }, planted);
}

/** What a broken subscriber would have left behind. */
function plant(history: History, planted: Planted): History {
  const steps = [...history.steps];
  const [first] = steps.filter(({ type }) => type === 'handled');
  if (first === undefined || first.type !== 'handled' || planted === 'none') return history;
  const { topic } = first;
  if (planted === 'checkpoint-ahead') steps.unshift({ type: 'checkpoint', topic, offset: 1 });
  if (planted === 'lost-event')
    return {
      ...history,
      steps: steps.filter((step) => step.type !== 'handled' || step.topic !== topic || step.key !== first.key),
    };
  if (planted === 'out-of-order') {
    const at = steps.findLastIndex((step) => step.type === 'handled' && step.topic === topic);
    const last = steps[at] as Step & { type: 'handled' };
    steps.splice(at + 1, 0, { ...last, offset: 0, key: first.key });
  }
  if (planted === 'doubled-effect')
    return { ...history, effects: new Map([...(history.effects ?? [[first.key, 1]])].map(([key, n]) => [key, n + 1])) };
  return { ...history, steps };
}

/** What is wrong with a history; empty when nothing is. */
export function problemsOf(history: History): string[] {
  const { steps, topics, effects, strict } = history;
  const problems: string[] = [];
  for (const [topic, keys] of topics) {
    const done = new Set<string>();
    let greatest = new Map<number, number>();
    const failed = new Set<string>();
    for (const step of steps) {
      if (step.topic !== topic) continue;
      if (step.type === 'failed') failed.add(`${step.life}/${step.offset}`);
      if (step.type === 'checkpoint') {
        const missing = keys.slice(0, step.offset).find((key) => !done.has(key));
        if (missing !== undefined) problems.push(`${topic}: checkpoint ${step.offset} before ${missing} was handled`);
      }
      if (step.type !== 'handled') continue;
      done.add(step.key);
      const before = greatest.get(step.life) ?? -1;
      const again = failed.has(`${step.life}/${step.offset}`) && !strict;
      if (step.offset <= before && !again)
        problems.push(`${topic}: ${step.offset} after ${before} in life ${step.life}`);
      greatest = greatest.set(step.life, Math.max(before, step.offset));
    }
    for (const key of new Set(keys)) if (!done.has(key)) problems.push(`${topic}: ${key} was never handled`);
  }
  for (const [topic, keys] of effects === undefined ? [] : topics)
    for (const key of new Set(keys)) {
      const wanted = history.keys ? 1 : keys.filter((other) => other === key).length;
      if (effects?.get(key) !== wanted)
        problems.push(`${topic}: ${key} has ${effects?.get(key)} effects, not ${wanted}`);
    }
  return problems;
}
