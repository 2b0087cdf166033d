/**
 * Masters on a pipeline that delays, reorders, repeats and loses, and that can be read again. Strict joining keeps causal order throughout; with
 * baselines, which give it up where an unknown master shows up, the state must still be the same in the end.
 */
import { type Random, seededRandom, systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { afterEach, expect, it, vi } from 'vitest';
import { type Entity, type MasterEvent, MultiMasterManager } from '../../src/index.ts';
import { CausalOrder } from '../../src/multi-master/causal-order.ts';

const SCHEDULES = Number(process.env.CANOPY_SIM_SEEDS ?? 60);
const IDS = ['m1', 'm2', 'm3', 'm4'];

afterEach(() => {
  vi.restoreAllMocks();
});

class Network {
  readonly events: MasterEvent[] = [];
  readonly handlers = new Map<string, (event: unknown) => Promise<void>>();
  readonly #clock: VirtualClock;
  readonly #random: Random;
  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  pipeline() {
    return {
      send: async (events: readonly unknown[]): Promise<void> => {
        if (this.#random.int(8) === 0) throw new Error('it is down');
        for (const event of events) {
          const text = JSON.stringify(event);
          this.events.push(JSON.parse(text) as MasterEvent);
          for (const handler of this.handlers.values())
            for (let copies = this.#random.int(4) % 3; copies > 0; copies--)
              this.#clock.timer(this.#random.int(2000), () => void handler(JSON.parse(text)));
        }
        // Taken, and nobody knows.
        if (this.#random.int(10) === 0) throw new Error('the answer is lost');
      },
      subscribe: (id: string, handler: (event: unknown) => Promise<void>) => {
        this.handlers.set(id, handler);
        return () => void this.handlers.delete(id);
      },
      getBufferedEvents: () => this.events,
    };
  }
}

function store() {
  const entities = new Map<string, Entity>();
  return {
    get: async (id: string) => entities.get(id) ?? null,
    set: async (id: string, entity: Entity) => void entities.set(id, entity),
    delete: async (id: string) => entities.delete(id),
    list: async () => [...entities.values()],
  };
}

async function simulate(seed: number, join: 'wait' | 'baseline'): Promise<string[]> {
  const random = seededRandom(`plain ${seed}`);
  const clock = new VirtualClock();
  const network = new Network(clock, random);
  const violations: string[] = [];
  const masters = IDS.map((masterId) => {
    const env = systemEnv({ clock, random: seededRandom(`${seed} ${masterId}`) });
    const config = { masterId, join, pipeline: network.pipeline(), stateManager: store(), eventBufferSize: 30 };
    return new MultiMasterManager(config, env);
  });
  for (const master of masters) {
    const seen: Record<string, number> = {};
    const me = master.getMasterId();
    master.on('eventApplied', ({ masterId, number }) => {
      const event = network.events.find((each) => each.masterId === masterId && each.vectorClock[masterId] === number);
      for (const [other, count] of Object.entries(event?.vectorClock ?? {}))
        if (other !== me && (seen[other] ?? 0) < (other === masterId ? count - 1 : count) && join === 'wait')
          violations.push(`${me} applied ${masterId}:${number} before ${other}:${count}`);
      seen[masterId] = Math.max(number, seen[masterId] ?? 0);
    });
    await master.subscribe();
  }
  for (let step = 0; step < 60; step++) {
    const master = masters[random.int(masters.length)] as MultiMasterManager;
    const id = `e${random.int(4)}`;
    if (random.int(6) === 0) await master.delete(id);
    else await master.write(id, { by: master.getMasterId(), step });
    await clock.advance(random.int(120));
  }
  for (let round = 0; round < 12; round++) {
    for (const master of masters) await master.syncWithRemote();
    await clock.advance(3000);
  }
  const last = new Map<string, MasterEvent>();
  for (const event of network.events)
    if ((last.get(event.entityId)?.hlc ?? '') < (event.hlc ?? '')) last.set(event.entityId, event);
  for (const master of masters) {
    const { waiting, unsent } = master.getStatus();
    if (waiting + unsent > 0) violations.push(`${master.getMasterId()}: ${waiting} wait, ${unsent} unsent`);
    for (const [id, event] of last) {
      const shown = JSON.stringify((await master.getEntity(id))?.data ?? null);
      const expected = JSON.stringify(event.type === 'delete' ? null : event.data);
      if (shown !== expected) violations.push(`${master.getMasterId()} shows ${shown} for ${id}, not ${expected}`);
    }
    await master.close();
  }
  await settle();
  return violations;
}

it.for(['wait', 'baseline'] as const)(`masters on a bad pipeline come to the same state (join: %s)`, async (join) => {
  for (let seed = 1; seed <= SCHEDULES; seed++) expect(await simulate(seed, join), `seed ${seed}`).toEqual([]);
});

it('find delivery without causality, and a duplicate that is taken for new', async () => {
  const judge = vi.spyOn(CausalOrder.prototype, 'judge').mockImplementation(function (
    this: CausalOrder,
    author,
    record,
  ) {
    return (record[author] ?? 0) > this.seen(author) ? 'ready' : 'duplicate';
  });
  expect((await simulate(1, 'wait')).join()).toMatch(/before|shows/);
  judge.mockReturnValue('ready');
  let found = 0;
  for (let seed = 1; seed <= 5; seed++) found += (await simulate(seed, 'wait')).length;
  expect(found).toBeGreaterThan(0);
});
