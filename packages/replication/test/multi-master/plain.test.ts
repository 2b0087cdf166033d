/** A master on pipelines and stores of a caller's own, as programs written against the guide use it. */

import { GCounter } from '@canopy/replication';
import { type Entity, MultiMasterManager, VectorClock } from '@canopy/replication/multi-master';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { MultiMasterConfig } from '../../src/multi-master/options.ts';

type Handler = (event: unknown) => Promise<void>;

/** One bus for all, serialising as a real one does. */
class Bus {
  readonly events: unknown[] = [];
  readonly handlers = new Map<string, Handler>();
  down = false;

  pipeline() {
    return {
      send: async (events: readonly unknown[]) => {
        if (this.down) throw new Error('the pipeline is down');
        for (const event of events.map((each) => JSON.parse(JSON.stringify(each)))) {
          this.events.push(event);
          for (const handler of this.handlers.values()) await handler(event);
        }
      },
      subscribe: (masterId: string, handler: Handler) => {
        this.handlers.set(masterId, handler);
        return () => void this.handlers.delete(masterId);
      },
      getEvents: () => this.events,
    };
  }
}

class Store {
  readonly entities = new Map<string, Entity>();
  get = (id: string): Entity | null => this.entities.get(id) ?? null;
  set = (id: string, entity: Entity): void => void this.entities.set(id, entity);
  delete = (id: string): void => void this.entities.delete(id);
  list = (): Entity[] => [...this.entities.values()];
}

const open: MultiMasterManager[] = [];
afterEach(async () => {
  for (const master of open.splice(0)) await master.close();
});

function make(masterId: string, bus: Bus, config: Partial<MultiMasterConfig> = {}): MultiMasterManager {
  const master = new MultiMasterManager({ masterId, pipeline: bus.pipeline(), stateManager: new Store(), ...config });
  open.push(master);
  return master;
}

let time = Date.now();
const event = (
  masterId: string,
  entityId: string,
  vectorClock: Record<string, number>,
  data: object = {},
  more = {},
) => ({
  type: 'write' as const,
  masterId,
  entityId,
  entityType: 'Thing',
  data,
  vectorClock,
  timestamp: ++time,
  ...more,
});

describe('writes', () => {
  it('store, count and send one event each', async () => {
    const bus = new Bus();
    const master = make('m1', bus);
    expect(await master.write('x', { $type: 'Customer', a: 1 })).toEqual({
      success: true,
      entityId: 'x',
      masterId: 'm1',
      queued: false,
    });
    await master.write('x', { a: 2 });
    expect(await master.getEntity('x')).toMatchObject({ $id: 'x', $type: 'Customer', $version: 2, data: { a: 2 } });
    expect(master.getVectorClock().toJSON()).toEqual({ m1: 2 });
    expect(bus.events).toMatchObject([
      { type: 'write', masterId: 'm1', entityId: 'x', entityType: 'Customer', vectorClock: { m1: 1 } },
      { vectorClock: { m1: 2 } },
    ]);
    expect(master.getMetrics()).toEqual({
      writesLocal: 2,
      eventsApplied: 0,
      conflictsDetected: 0,
      eventBufferSize: 0,
      vectorClockNodes: 1,
    });
  });

  it('start at zero, and the clock that is handed out is a copy', async () => {
    const master = make('m1', new Bus());
    master.getVectorClock().increment('m1');
    expect(master.getVectorClock().toJSON()).toEqual({ m1: 0 });
  });

  it('are kept while the pipeline is away, none overtakes, and a sync sends them', async () => {
    const bus = new Bus();
    const master = make('m1', bus);
    bus.down = true;
    expect((await master.write('x', { a: 1 })).queued).toBe(true);
    expect((await master.delete('x')).queued).toBe(true);
    bus.down = false;
    expect((await master.write('y', { a: 1 })).queued).toBe(false);
    expect(bus.events.map((each) => (each as { vectorClock: object }).vectorClock)).toEqual([
      { m1: 1 },
      { m1: 2 },
      { m1: 3 },
    ]);
    bus.down = true;
    await master.write('z', {});
    bus.down = false;
    await master.syncWithRemote();
    expect(bus.events.length).toBe(4);
  });

  it('are refused when too many are unsent, and after close', async () => {
    const bus = new Bus();
    const master = make('m1', bus, { outboxLimit: 2 });
    bus.down = true;
    await master.write('x', {});
    await master.write('x', {});
    await expect(master.write('x', { lost: true })).rejects.toMatchObject({ code: 'MASTER_OUTBOX_FULL' });
    expect(master.getVectorClock().get('m1')).toBe(2);
    await master.close();
    await expect(master.write('x', {})).rejects.toMatchObject({ code: 'MASTER_CLOSED' });
  });
});

it('sends what was queued by itself, also under timers of a test', async () => {
  vi.useFakeTimers();
  try {
    const bus = new Bus();
    const master = make('m1', bus);
    bus.down = true;
    expect((await master.write('x', {})).queued).toBe(true);
    bus.down = false;
    await vi.advanceTimersByTimeAsync(1100);
    expect(bus.events.length).toBe(1);
    expect(master.getStatus().unsent).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

it('takes clocks as instances, and ids that every store can keep', async () => {
  const master = make('m1', new Bus());
  const clock = new VectorClock({ m2: 1 });
  expect(await master.applyRemoteEvent({ ...event('m2', 'x', {}), vectorClock: clock })).toEqual({ success: true });
  await expect(master.write('x'.repeat(1025), {})).rejects.toMatchObject({ code: 'MASTER_EVENT_INVALID' });
  await expect(master.write('', {})).rejects.toMatchObject({ code: 'MASTER_EVENT_INVALID' });
  for (const wrong of ['text', [1], 5, null, undefined]) {
    await expect(master.write('x', wrong as never)).rejects.toMatchObject({ code: 'REPLICATED_VALUE_INVALID' });
    await expect(master.resolveConflict('x', wrong as never)).rejects.toMatchObject({
      code: 'REPLICATED_VALUE_INVALID',
    });
  }
  expect(await master.read('x')).not.toBeNull();
});

describe('delivery', () => {
  it('holds an event until what it depends on is there, of its author and of others', async () => {
    const master = make('m1', new Bus(), { join: 'wait' });
    const buffered: number[] = [];
    master.on('buffered', ({ number }) => buffered.push(number));
    const first = event('m2', 'x', { m2: 1 }, { v: 1 });
    const second = event('m2', 'x', { m2: 2 }, { v: 2 });
    const third = event('m3', 'x', { m2: 2, m3: 1 }, { v: 3 });
    await master.applyRemoteEvent(third);
    await master.applyRemoteEvent(second);
    expect(await master.getEntity('x')).toBeNull();
    expect(master.getBufferedEventCount()).toBe(2);
    await master.applyRemoteEvent(first);
    expect(await master.getEntity('x')).toMatchObject({ data: { v: 3 } });
    expect(master.getBufferedEventCount()).toBe(0);
    expect(master.getMetrics().conflictsDetected).toBe(0);
    expect(buffered).toEqual([1, 2]);
  });

  it('drops what it has seen', async () => {
    const master = make('m1', new Bus());
    const once = event('m2', 'x', { m2: 1 }, { v: 1 });
    for (let i = 0; i < 5; i++) expect(await master.applyRemoteEvent(once)).toEqual({ success: true });
    expect(master.getMetrics()).toMatchObject({ eventsApplied: 1, eventBufferSize: 0 });
  });

  it('keeps at most eventBufferSize, the oldest go first and are told; none with 0', async () => {
    const master = make('m1', new Bus(), { eventBufferSize: 3 });
    const evicted: number[] = [];
    master.on('evicted', ({ number }) => evicted.push(number));
    for (let n = 2; n < 8; n++) await master.applyRemoteEvent(event('m2', `e${n}`, { m2: n }));
    expect(master.getBufferedEventCount()).toBe(3);
    expect(evicted).toEqual([2, 3, 4]);
    const none = make('m3', new Bus(), { eventBufferSize: 0 });
    await none.applyRemoteEvent(event('m2', 'x', { m2: 2 }));
    expect(none.getBufferedEventCount()).toBe(0);
  });

  it('ends with an empty buffer when clock 2 and clock 1 come for ten entities', async () => {
    const master = make('m1', new Bus());
    for (let i = 0; i < 10; i++) {
      await master.applyRemoteEvent(event('m2', `e${i}`, { m2: 2 }));
      await master.applyRemoteEvent(event('m2', `e${i}`, { m2: 1 }));
    }
    expect(master.getBufferedEventCount()).toBe(0);
  });

  it('takes the first clock of an unknown master as where a late joiner begins, and loses nothing of what comes late', async () => {
    const master = make('m9', new Bus());
    const resyncs: unknown[] = [];
    master.on('resync', (each) => resyncs.push(each));
    await master.applyRemoteEvent(event('m1', 'x', { m1: 5, m2: 3 }, { v: 'x5' }));
    expect(await master.getEntity('x')).toMatchObject({ data: { v: 'x5' } });
    expect(master.getVectorClock().toJSON()).toMatchObject({ m1: 5, m2: 3 });
    expect(resyncs).toEqual([{ reason: 'baseline', masterId: 'm1' }]);
    await master.applyRemoteEvent(event('m1', 'z', { m1: 6, m2: 3 }, { v: 'z6' }));
    await master.applyRemoteEvent(event('m2', 'y', { m1: 4, m2: 3 }, { v: 'y3' }));
    await master.applyRemoteEvent(event('m2', 'y', { m1: 4, m2: 3 }, { v: 'again' }));
    expect(await master.getEntity('z')).toMatchObject({ data: { v: 'z6' } });
    expect(await master.getEntity('y')).toMatchObject({ data: { v: 'y3' } });
  });

  it('says what is wrong with an event, and ignores its own', async () => {
    const master = make('m1', new Bus());
    const { entityId: _, ...without } = event('m2', 'x', { m2: 1 });
    expect(await master.applyRemoteEvent(without)).toMatchObject({
      success: false,
      error: expect.stringContaining('entityId'),
    });
    for (const bad of [null, 7, {}, { ...event('m2', 'x', { m2: 1 }), vectorClock: { m2: -1 } }])
      expect((await master.applyRemoteEvent(bad)).success).toBe(false);
    expect(await master.applyRemoteEvent(event('m1', 'x', { m1: 1 }))).toEqual({ success: true });
    expect(await master.getEntity('x')).toBeNull();
  });

  it('never uses a number again that others know of', async () => {
    const master = make('m1', new Bus());
    await master.applyRemoteEvent(event('m1', 'x', { m1: 7 }));
    await master.write('x', {});
    expect(master.getVectorClock().get('m1')).toBe(8);
  });

  it('holds what comes from the future, and counts it', async () => {
    const master = make('m1', new Bus());
    const rejected: number[] = [];
    master.on('rejected', ({ aheadMs }) => rejected.push(aheadMs));
    const future = event('m2', 'x', { m2: 1 }, { v: 1 }, { timestamp: Date.now() + 3_600_000 });
    expect((await master.applyRemoteEvent(future)).success).toBe(false);
    await master.applyRemoteEvent(future);
    expect(await master.getEntity('x')).toBeNull();
    expect(rejected.length).toBe(1);
    expect(master.getStatus()).toMatchObject({ rejected: 1, waiting: 1 });
  });
});

describe('conflicts', () => {
  const meet = async (
    a: MultiMasterManager,
    b: MultiMasterManager,
    bus: Bus,
    first: () => Promise<unknown>,
    second: () => Promise<unknown>,
  ) => {
    const handlers = new Map(bus.handlers);
    bus.handlers.clear();
    await first();
    await second();
    for (const [id, handler] of handlers) bus.handlers.set(id, handler);
    await a.syncWithRemote();
    await b.syncWithRemote();
  };

  const pair = async (config: Partial<MultiMasterConfig> = {}) => {
    const bus = new Bus();
    const [a, b] = [make('a', bus, config), make('b', bus, config)];
    await a.subscribe();
    await b.subscribe();
    return { bus, a, b };
  };

  it('are none between writes that follow each other', async () => {
    const { a, b } = await pair();
    await a.write('x', { v: 1 });
    await b.write('x', { v: 2 });
    await a.write('x', { v: 3 });
    for (const master of [a, b]) {
      expect(await master.getEntity('x')).toMatchObject({ $version: 3, data: { v: 3 } });
      expect(await master.getConflicts()).toEqual([]);
      expect(master.getVectorClock().toJSON()).toEqual({ a: 2, b: 1 });
    }
  });

  it('go to the last writer, ties to the greater author, on both sides', async () => {
    const { bus, a, b } = await pair();
    await meet(
      a,
      b,
      bus,
      () => a.write('x', { by: 'a' }),
      () => b.write('x', { by: 'b' }),
    );
    expect(await a.getEntity('x')).toEqual(await b.getEntity('x'));
    const [conflict] = await a.getConflicts();
    expect(conflict).toMatchObject({
      entityId: 'x',
      versions: [
        { masterId: 'a', data: { by: 'a' }, vectorClock: { a: 1 } },
        { masterId: 'b', data: { by: 'b' }, vectorClock: { b: 1 } },
      ],
      resolutionOptions: ['keep-local', 'keep-remote', 'lww', 'merge'],
    });
    expect(a.hotEntities()).toMatchObject([{ entityId: 'x', conflicts: 1 }]);

    const third = make('c', new Bus());
    const timestamp = Date.now();
    const all = ['a', 'b', 'd'].map((id) => event(id, 'y', { [id]: 1 }, { by: id }, { timestamp }));
    for (const each of [all[2], all[0], all[1]]) await third.applyRemoteEvent(each);
    expect(await third.getEntity('y')).toMatchObject({ data: { by: 'd' } });
  });

  it('of a delete and a write do not bring back, or remove, what is later', async () => {
    const { bus, a, b } = await pair();
    await a.write('x', { v: 1 });
    await meet(
      a,
      b,
      bus,
      () => a.write('x', { v: 2 }),
      () => b.delete('x'),
    );
    expect(await a.getEntity('x')).toBeNull();
    expect(await b.getEntity('x')).toBeNull();
    await a.write('y', { v: 1 });
    await meet(
      a,
      b,
      bus,
      () => a.delete('y'),
      () => b.write('y', { v: 2 }),
    );
    expect(await a.getEntity('y')).toMatchObject({ data: { v: 2 } });
    expect(await b.getEntity('y')).toMatchObject({ data: { v: 2 } });
  });

  it.each(['manual', 'detect'] as const)(
    'wait for a decision under %s, and the decision ends them everywhere',
    async (conflictStrategy) => {
      const { bus, a, b } = await pair({ conflictStrategy });
      const heard: string[] = [];
      b.on('conflictDetected', ({ entityId }) => heard.push(`detected ${entityId}`));
      b.on('conflictResolved', ({ entityId, by }) => heard.push(`resolved ${entityId} by ${by}`));
      await meet(
        a,
        b,
        bus,
        () => a.write('x', { by: 'a' }),
        () => b.write('x', { by: 'b' }),
      );
      expect(await a.getEntity('x')).toMatchObject({ data: { by: 'a' } });
      expect(await b.getEntity('x')).toMatchObject({ data: { by: 'b' } });
      const [pending] = await b.getPendingConflicts();
      expect(pending?.versions.length).toBe(2);
      await a.resolveConflict('x', { by: 'both' });
      for (const master of [a, b]) {
        expect(await master.getEntity('x')).toMatchObject({ data: { by: 'both' } });
        expect(await master.getPendingConflicts()).toEqual([]);
        expect(await master.getConflicts()).toEqual([]);
      }
      const resolution = bus.events.at(-1) as { vectorClock: Record<string, number> };
      for (const version of pending?.versions ?? [])
        expect(VectorClock.compare(resolution.vectorClock, version.vectorClock)).toBe('after');
      expect(heard).toEqual(['detected x', 'resolved x by a']);
    },
  );

  it('are merged by a function of the user', async () => {
    const mergeFn = (local: Entity, remote: Entity): Entity => ({
      ...remote,
      $version: Math.max(local.$version, remote.$version) + 1,
      data: { ...local.data, ...remote.data },
    });
    const { bus, a, b } = await pair({ conflictStrategy: 'custom', mergeFn });
    await meet(
      a,
      b,
      bus,
      () => a.write('x', { a: 1 }),
      () => b.write('x', { b: 2 }),
    );
    expect(await a.getEntity('x')).toMatchObject({ data: { a: 1, b: 2 } });
    expect(await b.getEntity('x')).toMatchObject({ data: { a: 1, b: 2 } });
  });

  it('do not arise between counters, sets and values that merge', async () => {
    const { bus, a, b } = await pair({ conflictStrategy: 'crdt' });
    await meet(
      a,
      b,
      bus,
      async () => {
        await a.writeCounter('views', 10);
        await a.incrementCounter('views', 5);
        await a.addToSet('tags', ['x', 'z']);
        await a.incrementPNCounter('likes', 4);
        await a.write('doc', { n: counter('a', 2), title: 'A' });
      },
      async () => {
        await b.incrementCounter('views', 23);
        await b.addToSet('tags', 'y');
        await b.decrementPNCounter('likes', 6);
        await b.write('doc', { n: counter('b', 3), title: 'B' });
      },
    );
    for (const master of [a, b]) {
      expect(await master.getCounter('views')).toBe(38);
      expect(await master.getSet('tags')).toEqual(['x', 'y', 'z']);
      expect(await master.getPNCounter('likes')).toBe(-2);
      expect((await master.getEntity('doc'))?.data).toEqual({
        n: { $crdt: 'GCounter', state: { a: 2, b: 3 } },
        title: 'B',
      });
    }
    await a.writeRegister('r', 'one');
    await b.writeRegister('r', 'two');
    expect(await a.getRegister('r')).toBe('two');
    expect(await a.stateHash()).toBe(await b.stateHash());
  });
});

function counter(node: string, count: number): GCounter {
  const made = new GCounter(node);
  made.increment(count);
  return made;
}
