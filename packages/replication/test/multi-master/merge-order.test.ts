/** Masters on a plain pipeline that have seen the same events show the same under `custom`, whatever the order of arrival. */
import { type Random, seededRandom } from '@canopy/core';
import { expect, it } from 'vitest';
import { type Entity, type MasterEvent, type MergeFn, MultiMasterManager } from '../../src/index.ts';

const SCHEDULES = 150;
const AUTHORS = ['a', 'b', 'c'];

/** Symmetric, associative, idempotent: of each field the greater value. */
const greater: MergeFn = (local, remote) => ({
  ...local,
  $version: Math.max(local.$version, remote.$version),
  updatedAt: Math.max(local.updatedAt, remote.updatedAt),
  data: Object.fromEntries(
    [...new Set([...Object.keys(local.data), ...Object.keys(remote.data)])].sort().map((key) => [
      key,
      [local.data[key], remote.data[key]]
        .filter((each) => each !== undefined)
        .sort()
        .at(-1),
    ]),
  ),
});

/** Writes of masters each of which has seen some of what the others wrote, and all that those had seen. */
function history(random: Random): MasterEvent[] {
  const events: MasterEvent[] = [];
  const clocks = AUTHORS.map((): Record<string, number> => ({}));
  for (let i = 0; i < 8; i++) {
    const who = random.int(AUTHORS.length);
    const author = AUTHORS[who] as string;
    const clock = clocks[who] as Record<string, number>;
    const seen = events[random.int(events.length * 2 + 1)];
    for (const [other, number] of Object.entries(seen?.vectorClock ?? {}))
      clock[other] = Math.max(number, clock[other] ?? 0);
    clock[author] = (clock[author] ?? 0) + 1;
    events.push({
      type: random.int(6) === 0 ? 'delete' : 'write',
      masterId: author,
      entityId: 'e',
      entityType: 'E',
      data: { [`f${random.int(4)}`]: random.int(5) },
      vectorClock: { ...clock },
      timestamp: 1000 + i,
      version: i + 1,
    });
  }
  return events;
}

async function shownAfter(events: readonly MasterEvent[]): Promise<string> {
  const entities = new Map<string, Entity>();
  const master = new MultiMasterManager({
    masterId: 'm',
    conflictStrategy: 'custom',
    mergeFn: greater,
    join: 'wait',
    stateManager: {
      get: async (id: string) => entities.get(id) ?? null,
      set: async (id: string, entity: Entity) => void entities.set(id, entity),
      delete: async (id: string) => entities.delete(id),
      list: async () => [...entities.values()],
    },
    pipeline: { send: async () => {}, subscribe: () => () => {} },
  });
  for (const event of events) await master.applyRemoteEvent(event);
  expect(master.getBufferedEventCount()).toBe(0);
  const shown = JSON.stringify([await master.getEntity('e'), await master.stateHash()]);
  await master.close();
  return shown;
}

it(`does not depend on the order of arrival (${SCHEDULES} schedules)`, async () => {
  const differing: number[] = [];
  for (let seed = 0; seed < SCHEDULES; seed++) {
    const random = seededRandom(`orders ${seed}`);
    const events = history(random);
    const orders = [events];
    for (let i = 0; i < 2; i++) {
      const order = [...events];
      for (let at = order.length - 1; at > 0; at--) {
        const other = random.int(at + 1);
        [order[at], order[other]] = [order[other] as MasterEvent, order[at] as MasterEvent];
      }
      orders.push(order);
    }
    const shown = await Promise.all(orders.map(shownAfter));
    if (new Set(shown).size > 1) differing.push(seed);
  }
  expect(differing).toEqual([]);
});
