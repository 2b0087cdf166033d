/**
 * Effects in a SQLite file, when the process is gone between any two steps. At the moment of death the files are copied as they lie on the disk, without
 * a close or a flush, also in the middle of a transaction; the next life opens the copy.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, it, onTestFinished } from 'vitest';
import {
  type AtomicStore,
  type EffectTransaction,
  EventSubscriber,
  type EventSubscriberConfig,
  type SourceEvent,
  SqliteStore,
  type StoreChange,
  sqliteCheckpoints,
} from '../../src/index.ts';
import { PlainSource } from './plain-source.ts';

const EVENTS = 3;

/** Dies before the given step and leaves a copy of the files. */
class Mortal {
  steps = 0;
  dead = false;
  readonly #at: number;
  readonly #from: string;
  readonly #to: string;

  constructor(at: number, from: string, to: string) {
    this.#at = at;
    this.#from = from;
    this.#to = to;
  }

  step(): void {
    if (this.dead) throw new Error('this process is dead');
    this.steps += 1;
    if (this.steps !== this.#at) return;
    this.dead = true;
    for (const end of ['', '-wal']) if (existsSync(this.#from + end)) copyFileSync(this.#from + end, this.#to + end);
    throw new Error('this process dies');
  }

  /** A store with steps before, in and after its commits. */
  store(store: SqliteStore): AtomicStore {
    const halted = (changes: readonly StoreChange[]): readonly StoreChange[] => {
      const step = (): void => this.step();
      const list = function* () {
        for (const change of changes) {
          yield change;
          step();
        }
      };
      return { [Symbol.iterator]: list } as unknown as readonly StoreChange[];
    };
    return {
      get: (space, key) => store.get(space, key),
      scan: (space, options) => store.scan(space, options),
      count: (space) => store.count(space),
      close: () => {},
      commit: (changes) => {
        this.step();
        store.commit(halted(changes));
        this.step();
      },
    };
  }

  /** What a handler does in a process that may die in it. */
  async handle(work: () => void): Promise<void> {
    try {
      this.step();
      work();
      await Promise.resolve();
      this.step();
    } catch (error) {
      if (this.dead) await new Promise(() => {});
      throw error;
    }
  }
}

type Program = (store: AtomicStore) => Partial<EventSubscriberConfig>;

const count = (store: Pick<AtomicStore, 'get'> | EffectTransaction, event: SourceEvent): number =>
  Number(store.get('effects', `n${event.offset}`) ?? 0) + 1;

async function life(path: string, source: PlainSource, program: Program, mortal: Mortal): Promise<boolean> {
  const clock = new VirtualClock();
  const env = systemEnv({ clock, random: seededRandom('effects') });
  const file = SqliteStore.open({ path, durability: 'process' });
  const config = program(mortal.store(file));
  const { onEvent, onBatch } = config;
  try {
    const subscriber = new EventSubscriber(
      source,
      {
        namespace: 't',
        batchSize: 2,
        ...config,
        ...(onEvent ? { onEvent: (event, tx) => mortal.handle(() => void onEvent(event, tx)) } : {}),
        ...(onBatch ? { onBatch: (events, tx) => mortal.handle(() => void onBatch(events, tx)) } : {}),
      },
      env,
    );
    await subscriber.subscribe('a');
    for (let round = 0; round < 4; round++) {
      void subscriber.poll().catch(() => {});
      await settle();
      await clock.advance(1000);
    }
  } catch (error) {
    if (!mortal.dead) throw error;
  } finally {
    file.close();
  }
  return mortal.dead;
}

/** How often each effect is there, for a death at each step. */
async function deaths(program: Program): Promise<number[][]> {
  const directory = await temporaryDirectory('effects');
  onTestFinished(() => directory.remove());
  const found: number[][] = [];
  for (let at = 1; ; at++) {
    const [before, after] = [join(directory.path, `${at}-before.db`), join(directory.path, `${at}-after.db`)];
    const source = new PlainSource();
    source.fill('a', EVENTS, (index) => `k${index}`);
    if (!(await life(before, source, program, new Mortal(at, before, after)))) return found;
    await life(after, source, program, new Mortal(Number.POSITIVE_INFINITY, after, before));
    const store = SqliteStore.open({ path: after });
    const effects = new Map(store.scan('effects'));
    found.push(Array.from({ length: EVENTS }, (_, i) => Number(effects.get(`n${i}`) ?? 0)));
    store.close();
  }
}

const EXACT: Record<string, Program> = {
  events: (effectStore) => ({
    effectStore,
    onEvent: (event, tx) => tx.put('effects', `n${event.offset}`, count(tx, event)),
  }),
  batches: (effectStore) => ({
    effectStore,
    onBatch: (events, tx) => {
      for (const event of events) tx.put('effects', `n${event.offset}`, count(tx, event));
    },
  }),
  keys: (effectStore) => ({
    effectStore,
    enableIdempotency: true,
    maxIdempotencyKeys: 3,
    onEvent: (event, tx) => tx.put('effects', `n${event.offset}`, count(tx, event)),
  }),
};

it.each(Object.entries(EXACT))('%s: after a death at any step every effect is there once', async (_kind, program) => {
  const found = await deaths(program);
  expect(found.length).toBeGreaterThan(12);
  for (const [i, counts] of found.entries()) expect(counts, `death at step ${i + 1}`).toEqual([1, 1, 1]);
});

it('an effect beside its position is at least once: this test would show a second one', async () => {
  const found = await deaths((store) => ({
    checkpointStore: sqliteCheckpoints(store),
    onEvent: (event) => store.commit([{ space: 'effects', key: `n${event.offset}`, value: count(store, event) }]),
  }));
  const all = found.flat();
  expect([Math.min(...all), Math.max(...all)]).toEqual([1, 2]);
});
