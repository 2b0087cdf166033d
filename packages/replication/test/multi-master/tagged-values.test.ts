/** Values that merge in the data of entities: one codec with the stores, and each field by itself. */
import { GCounter, MERGEABLE, type Mergeable, MultiMasterManager, memoryStateManager } from '@canopy/replication';
import { YjsDocument } from '@canopy/replication/yjs';
import { expect, it } from 'vitest';
import { absorb, decodeData, encodeData, hasTags } from '../../src/multi-master/tagged-values.ts';

const counter = (node: string, by: number): GCounter => {
  const made = new GCounter(node);
  made.increment(by);
  return made;
};

it('what can not be read, or is of a kind that nobody knows here, stays the field that it is', () => {
  const odd = {
    unheard: { $crdt: 'Unheard', state: { any: 1 } },
    damaged: { $crdt: 'GCounter', state: { a: -1 } },
    own: { $crdt: 'GCounter', state: {}, note: 'a field of the user' },
    text: { $crdt: 7 },
    escaped: { $crdt: '', state: { $crdt: 'GCounter' } },
  };
  const data = JSON.parse(JSON.stringify(encodeData({ ...odd, clicks: counter('a', 2) })));
  expect(data).toEqual({ ...odd, clicks: { $crdt: 'GCounter', state: { a: 2 } } });
  const { clicks, ...rest } = decodeData(data) as { clicks: GCounter };
  expect([clicks.value(), rest]).toEqual([2, odd]);
  expect([hasTags(odd.unheard), hasTags(odd.own), hasTags(odd.text)]).toEqual([true, false, false]);
});

it('what is given is not shared, and what is read can be written again', () => {
  const given = { list: [{ n: 1 }], __proto__: null, own: { ['__proto__']: 1 } };
  const data = encodeData(given as never);
  given.list[0] = { n: 2 };
  expect((data.list as unknown[])[0]).toEqual({ n: 1 });
  expect(Object.keys(data.own as object)).toEqual(['__proto__']);
  const stored = encodeData({ clicks: counter('a', 2) });
  expect(encodeData(stored)).toEqual(stored);
});

it('documents of other libraries merge as counters do, and damaged ones take nothing with them', () => {
  const [mine, theirs] = [new YjsDocument(), new YjsDocument()];
  mine.change((doc) => doc.getMap('m').set('mine', 1));
  theirs.change((doc) => doc.getMap('m').set('theirs', 2));
  const before = encodeData({ page: mine, clicks: counter('a', 2), bad: { $crdt: 'GCounter', state: 1 } });
  const after = encodeData({ page: theirs, clicks: counter('b', 3), bad: counter('b', 1) });
  const merged = decodeData(absorb(before, after) as Record<string, unknown>) as {
    page: YjsDocument;
    clicks: GCounter;
    bad: GCounter;
  };
  expect(merged.page.doc.getMap('m').toJSON()).toEqual({ mine: 1, theirs: 2 });
  expect([merged.clicks.value(), merged.bad.value()]).toEqual([5, 1]);
  const unheard: Mergeable = { [MERGEABLE]: 'Unheard', mergedWith: (other) => other, toJSON: () => 3 };
  expect(encodeData({ unheard })).toEqual({ unheard: { $crdt: 'Unheard', state: 3 } });
});

it('a master gives back what it was given, whatever its fields are called', async () => {
  const pipeline = { send: async () => {} };
  for (const conflictStrategy of ['lww', 'crdt'] as const) {
    const config = { masterId: 'a', pipeline, stateManager: memoryStateManager(), conflictStrategy };
    const master = new MultiMasterManager(config);
    const data = { own: { $crdt: 'GCounter', note: 1 }, damaged: { $crdt: 'PNCounter', state: 'x' } };
    await master.write('x', data);
    await master.write('x', data);
    expect((await master.getEntity('x'))?.data).toEqual(data);
    await master.close();
  }
});
