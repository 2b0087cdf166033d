/**
 * One change at a time, each with the delta that would be sent: a key set in a map, an element added to a set, a counter
 * incremented. Baselines: the same in Yjs (a map entry per element or node, its update event as the delta) and in Automerge, both
 * used directly; then what our adapters add to them.
 */
import * as Automerge from '@automerge/automerge';
import { GCounter, LWWMap, ORSet } from '@canopy/replication';
import { AutomergeDocument } from '@canopy/replication/automerge';
import { YjsDocument } from '@canopy/replication/yjs';
import * as Y from 'yjs';
import type { Report } from '../../harness.ts';
import { type Contender, inTurns } from './turns.ts';

export function measureOperations(report: Report, count: number): void {
  const each = <T>(make: () => T, change: (value: T, i: number) => unknown): Contender => {
    return () => {
      const value = make();
      return () => {
        let last: unknown;
        for (let i = 0; i < count; i++) last = change(value, i);
        return last;
      };
    };
  };
  const compare = (metric: string, ours: Contender, yjs: Contender, automerge: Contender): void => {
    const ms = inTurns({ ours, yjs, automerge });
    const us = (name: keyof typeof ms): number => (ms[name] * 1000) / count;
    report.figure(metric, 'us', us('ours'), us('yjs'));
    report.figure(`${metric}.beside_automerge`, 'us', us('ours'), us('automerge'));
  };
  compare(
    'map_set',
    each(
      () => new LWWMap<number>('n'),
      (map, i) => map.set(`key-${i}`, i),
    ),
    each(bareYjs, (document, i) => document.set(`key-${i}`, i)),
    each(
      () => new BareAutomerge({}),
      (document, i) => document.set(`key-${i}`, i),
    ),
  );
  compare(
    'set_add',
    each(
      () => new ORSet<string>('n'),
      (set, i) => set.add(`element-${i}`),
    ),
    each(bareYjs, (document, i) => document.set(`element-${i}`, true)),
    each(
      () => new BareAutomerge({}),
      (document, i) => document.set(`element-${i}`, true),
    ),
  );
  compare(
    'counter_increment',
    each(
      () => new GCounter('n'),
      (counter) => counter.increment(),
    ),
    each(bareYjs, (document, i) => document.set('n', i)),
    each(
      () => new BareAutomerge({ n: new Automerge.Counter(0) }),
      (document) => document.change(({ n }) => (n as Automerge.Counter).increment(1)),
    ),
  );
  const adapters = inTurns({
    yjs: each(
      () => new YjsDocument(),
      (document, i) => document.change((doc) => doc.getMap('m').set(`key-${i}`, i)),
    ),
    bareYjs: each(bareYjs, (document, i) => document.set(`key-${i}`, i)),
    automerge: each(
      () => new AutomergeDocument<Row>(),
      (document, i) =>
        document.change((row) => {
          row[`key-${i}`] = i;
        }),
    ),
    bareAutomerge: each(
      () => new BareAutomerge({}),
      (document, i) => document.set(`key-${i}`, i),
    ),
  });
  const perChange = (name: keyof typeof adapters): number => (adapters[name] * 1000) / count;
  report.figure('yjs_document_change', 'us', perChange('yjs'), perChange('bareYjs'));
  report.figure('automerge_document_change', 'us', perChange('automerge'), perChange('bareAutomerge'));
}

type Row = Record<string, unknown>;

interface BareYjs {
  set(key: string, value: unknown): Uint8Array;
}

function bareYjs(): BareYjs {
  const doc = new Y.Doc();
  const map = doc.getMap('m');
  let last: Uint8Array = new Uint8Array();
  doc.on('update', (update: Uint8Array) => {
    last = update;
  });
  return {
    set: (key, value) => {
      map.set(key, value);
      return last;
    },
  };
}

class BareAutomerge {
  #doc: Automerge.Doc<Row>;

  constructor(initial: Row) {
    this.#doc = Automerge.from<Row>(initial);
  }

  set(key: string, value: unknown): Uint8Array | undefined {
    return this.change((row) => {
      row[key] = value;
    });
  }

  change(change: (row: Row) => void): Uint8Array | undefined {
    this.#doc = Automerge.change(this.#doc, change);
    return Automerge.getLastLocalChange(this.#doc);
  }
}
