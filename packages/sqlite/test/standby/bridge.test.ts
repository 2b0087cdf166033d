import { epoch, type Position, seededRandom } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../../src/log/names.ts';
import { planBridge } from '../../src/standby/bridge.ts';

const at = (txid: number, of = 1): Position => ({ epoch: epoch(of), txid });

function entry(level: number, minTxid: number, maxTxid: number, of = 1): LogEntry {
  return {
    level,
    minTxid,
    maxTxid,
    name: `${level}/${minTxid}-${maxTxid}`,
    epoch: epoch(of),
    revision: 0,
    size: 1,
    node: 'a',
    kind: 'commit',
    timestamp: 0,
    storedAt: 0,
    digest: undefined,
    walEnd: undefined,
    note: undefined,
  };
}

const names = (plan: LogEntry[] | undefined): string[] | undefined => plan?.map(({ name }) => name);

describe('planBridge', () => {
  test('the fewest files that reach over the gap, up to where single transactions go on', () => {
    const log = [
      entry(1, 1, 10),
      entry(1, 11, 20),
      entry(1, 21, 30),
      entry(2, 1, 20),
      entry(0, 29, 29),
      entry(0, 30, 30),
    ];
    expect(names(planBridge(log, at(5)))).toEqual(['2/1-20', '1/21-30']);
    expect(names(planBridge(log, at(20)))).toEqual(['1/21-30']);
    expect(names(planBridge(log, at(28)))).toEqual([]);
    expect(names(planBridge(log, at(30)))).toEqual([]);
  });

  test('stops as soon as the next transaction is there', () => {
    const log = [entry(1, 5, 8), entry(1, 9, 12), entry(0, 9, 9), entry(0, 10, 10)];
    expect(names(planBridge(log, at(6)))).toEqual(['1/5-8']);
  });

  test('none where nothing reaches over it, and none from a full image', () => {
    expect(planBridge([entry(1, 1, 4), entry(1, 8, 12)], at(4))).toBeUndefined();
    expect(planBridge([entry(9, 1, 12), entry(0, 12, 12)], at(4))).toBeUndefined();
    expect(planBridge([], at(4))).toBeUndefined();
  });

  test('none from a log that may be another one', () => {
    const other = [entry(1, 1, 20, 7), entry(0, 20, 20, 7)];
    expect(planBridge(other, at(9, 3))).toBeUndefined();
    // Of the same epoch, but before our place: what came after it is another story.
    expect(planBridge([entry(1, 1, 8, 3), ...other], at(9, 3))).toBeUndefined();
    expect(names(planBridge([entry(1, 1, 9, 3), entry(1, 10, 20, 7)], at(9, 3)))).toEqual(['1/10-20']);
    expect(planBridge([entry(1, 1, 20, 0), entry(0, 20, 20, 3)], at(9, 3))).toBeUndefined();
  });

  test('from any place, over any compaction, with any objects gone: the pages are those of the log', () => {
    const random = seededRandom(process.env.CANOPY_SEED ?? 'bridge');
    let bridged = 0;
    for (let round = 0; round < 400; round++) {
      // states[t]: of each page the transaction that wrote it last; length = size of the database.
      const states: number[][] = [[]];
      const changed: Set<number>[] = [new Set()];
      const end = 10 + random.int(30);
      for (let txid = 1; txid <= end; txid++) {
        const state = [...(states[txid - 1] as number[])];
        const size = txid === 1 ? 5 : Math.max(1, state.length + random.int(7) - 3);
        const pages = new Set<number>([random.int(size)]);
        for (let page = state.length; page < size; page++) pages.add(page);
        state.length = Math.min(state.length, size);
        for (const page of pages) state[page] = txid;
        states.push(state);
        changed.push(pages);
      }
      const log: LogEntry[] = [];
      for (const [level, width] of [
        [1, 3],
        [2, 7],
      ] as const)
        for (let from = 1; from + width - 1 <= end; from += width)
          if (random.int(6) > 0) log.push(entry(level, from, from + width - 1));
      for (let txid = end - random.int(6); txid <= end; txid++) log.push(entry(0, txid, txid));
      const own = 1 + random.int(end);
      const plan = planBridge(log, at(own));
      if (plan === undefined || plan.length === 0) continue;
      bridged++;
      let state = [...(states[own] as number[])];
      for (const { minTxid, maxTxid } of plan) {
        const after = states[maxTxid] as number[];
        const image = new Set<number>();
        for (let txid = minTxid; txid <= maxTxid; txid++)
          for (const page of changed[txid] as Set<number>) image.add(page);
        state = state.slice(0, after.length);
        for (const page of image) if (page < after.length) state[page] = after[page] as number;
        expect(state).toEqual(after);
      }
    }
    expect(bridged).toBeGreaterThan(50);
  });
});
