/**
 * Two replicas that share two thirds of their keys come together in a third, and what their state weighs on the wire. Baselines: the
 * same in Yjs and in Automerge, both used directly; binary states are counted as the base64 that JSON carries.
 */
import * as Automerge from '@automerge/automerge';
import { GSet, LWWMap, ORSet } from '@canopy/replication';
import * as Y from 'yjs';
import type { Report } from '../../harness.ts';
import { inTurns } from './turns.ts';

export function measureMerging(report: Report, keys: number): void {
  const halves = [0, Math.floor(keys / 2)].map((from) =>
    Array.from({ length: Math.ceil(keys / 2) }, (_, i) => `key-${from + i}`),
  );
  const shared = Array.from({ length: keys }, (_, i) => `shared-${i}`);
  const two = <T>(make: (own: readonly string[], node: string) => T): readonly [T, T] => [
    make(halves[0] as string[], 'a'),
    make(halves[1] as string[], 'b'),
  ];

  const [mapA, mapB] = two((own, node) => {
    const map = new LWWMap<number>(node);
    for (const key of [...shared, ...own]) map.set(key, 1, 5);
    return map;
  });
  const [setA, setB] = two((own, node) => {
    const set = new ORSet<string>(node);
    for (const key of [...shared, ...own]) set.add(key);
    return set;
  });
  const [growA, growB] = two((own) => GSet.fromJSON<string>([...shared, ...own]));
  const [yjsA, yjsB] = two((own) => {
    const doc = new Y.Doc();
    const map = doc.getMap('m');
    doc.transact(() => {
      for (const key of [...shared, ...own]) map.set(key, 1);
    });
    return doc;
  });
  const [automergeA, automergeB] = two((own) =>
    Automerge.from(Object.fromEntries([...shared, ...own].map((key) => [key, 1]))),
  );

  const ms = inTurns({
    map: () => () => mapA.mergedWith(mapB),
    set: () => () => setA.mergedWith(setB),
    grow: () => () => growA.mergedWith(growB),
    yjs: () => () => {
      const merged = new Y.Doc();
      for (const doc of [yjsA, yjsB]) Y.applyUpdate(merged, Y.encodeStateAsUpdate(doc));
      return merged;
    },
    automerge: () => () => Automerge.merge(Automerge.clone(automergeA), automergeB),
  });
  const bytes = (state: unknown): number => JSON.stringify(state).length / (keys * 1.5);
  const ours = [
    ['map', mapA],
    ['set', setA],
    ['grow', growA],
  ] as const;
  for (const [name, state] of ours) {
    report.figure(`${name}_merge`, 'ms', ms[name], ms.yjs);
    report.figure(`${name}_merge.beside_automerge`, 'ms', ms[name], ms.automerge);
    report.figure(`${name}_state`, 'B/key', bytes(state), bytes(base64(Y.encodeStateAsUpdate(yjsA))));
    report.figure(`${name}_state.beside_automerge`, 'B/key', bytes(state), bytes(base64(Automerge.save(automergeA))));
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
