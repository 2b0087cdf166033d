import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Proofs } from '../../src/levels/proofs.ts';
import { applyRetention, oldSnapshots, planRetention } from '../../src/levels/retention.ts';
import type { LogEntry } from '../../src/log/names.ts';
import { formatName, segmentName } from '../../src/log/names.ts';
import { fill, memoryLog, snapshotAt } from '../log/logs.ts';

const txids = (entries: readonly { maxTxid: number }[]): number[] => entries.map((entry) => entry.maxTxid);

describe('trim', () => {
  test('without a snapshot nothing goes', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 8);
    expect(await log.trim({ keepMs: 0, keepCount: 2 })).toEqual({ segments: 0, snapshots: 0, merged: 0 });
  });

  test('goes up to the snapshot, keeps the newest, and never the young', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 10);
    await snapshotAt(log, 6);
    expect(await log.trim({ keepMs: 60_000, keepCount: 2 })).toEqual({ segments: 0, snapshots: 0, merged: 0 });
    expect(await log.trim({ keepMs: 0, keepCount: 7 })).toEqual({ segments: 3, snapshots: 0, merged: 0 });
    expect(await log.trim({ keepMs: 0, keepCount: 2 })).toEqual({ segments: 3, snapshots: 0, merged: 0 });
    expect(txids(await log.entries())).toEqual([7, 8, 9, 10]);
    await snapshotAt(log, 10);
    expect(await log.trim({ keepMs: 0, keepCount: 0, keepSnapshotsMs: 0, keepSnapshots: 0 })).toEqual({
      segments: 2,
      snapshots: 1,
      merged: 0,
    });
    expect(txids(await log.entries())).toEqual([9, 10]);
    expect(txids(await log.snapshots())).toEqual([10]);
  });

  test('a transaction that the plan has left out is not left behind alone: nothing goes until it is planned for', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 10);
    await snapshotAt(log, 8);
    const all = await log.all();
    const missed: number[] = [];
    const apply = (known: readonly LogEntry[]) =>
      applyRetention(
        log,
        planRetention(known, Date.now(), { keepMs: -1e9, keepCount: 2 }),
        new Proofs(log),
        undefined,
        undefined,
        (entry) => missed.push(entry.maxTxid),
      );
    const without = (txid: number): LogEntry[] => all.filter(({ level, maxTxid }) => level !== 0 || maxTxid !== txid);
    expect((await apply(without(1))).segments).toBe(0);
    expect((await apply(without(4))).segments).toBe(3);
    expect(missed).toEqual([1, 4]);
    expect(txids(await log.entries())).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect((await apply(await log.all())).segments).toBe(5);
    expect(txids(await log.entries())).toEqual([9, 10]);
  });

  test('a damaged snapshot frees nothing', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 6);
    await blobs.put('ltx/9/0000000000000001-0000000000000006.ltx', new Uint8Array(300));
    await expect(log.trim({ keepMs: 0, keepCount: 2 })).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    expect(txids(await log.entries())).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('stopped anywhere, what is left has no hole', async () => {
    for (let stopAfter = 0; stopAfter < 5; stopAfter++) {
      const { log, blobs } = await memoryLog();
      await fill(log, 1, 8);
      await snapshotAt(log, 8);
      const remove = blobs.delete.bind(blobs);
      let deletions = 0;
      blobs.delete = async (name, options) => {
        if (deletions++ === stopAfter) throw new Error('killed');
        await remove(name, options);
      };
      await expect(log.trim({ keepMs: 0, keepCount: 2 })).rejects.toThrow('killed');
      expect(txids(await log.entries())).toEqual([1, 2, 3, 4, 5, 6, 7, 8].slice(stopAfter));
    }
  });

  test('what may go is a prefix below the snapshot, whatever the ages', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100), { maxLength: 30 }),
        fc.nat(40),
        fc.nat(100),
        fc.nat(10),
        (ages, end, keepMs, keepCount) => {
          const entries = ages.map((age, i) => ({
            ...({} as LogEntry),
            level: 0,
            name: segmentName(i + 1),
            minTxid: i + 1,
            maxTxid: i + 1,
            storedAt: 1000 - age,
          }));
          const image = { ...({} as LogEntry), level: 9, minTxid: 1, maxTxid: end, storedAt: 1000, name: 'image' };
          const plan = planRetention([...entries, image], 1000, { keepMs, keepCount });
          const gone = plan.map(({ entry }) => entry);
          expect(txids(gone)).toEqual(txids(entries.slice(0, gone.length)));
          expect(gone.length).toBeLessThanOrEqual(Math.min(end, Math.max(0, ages.length - Math.max(2, keepCount))));
          for (const entry of gone) expect(1000 - entry.storedAt).toBeGreaterThanOrEqual(keepMs);
        },
      ),
    );
  });
});

describe('with levels', () => {
  const entry = (level: number, minTxid: number, maxTxid: number, storedAt = 0): LogEntry =>
    ({ level, minTxid, maxTxid, storedAt, name: formatName({ level, minTxid, maxTxid }) }) as LogEntry;
  const segments = (from: number, to: number): LogEntry[] =>
    Array.from({ length: to - from + 1 }, (_, i) => entry(0, from + i, from + i));
  const plan = (entries: LogEntry[], now: number): string[] =>
    planRetention(entries, now, { levels: true, keepMs: 10, keepCount: 2, keepSnapshots: 1, keepSnapshotsMs: 100 }).map(
      ({ entry: { level, minTxid, maxTxid }, coveredBy }) =>
        `${level}:${minTxid}-${maxTxid} by ${coveredBy.map((cover) => `${cover.level}:${cover.maxTxid}`).join()}`,
    );

  test('level 0 goes when level 1 covers it; a snapshot alone frees nothing', () => {
    const log = [...segments(1, 8), entry(9, 1, 8)];
    expect(plan(log, 50)).toEqual([]);
    expect(plan([...log, entry(1, 1, 3)], 50)).toEqual(['0:1-1 by 1:3', '0:2-2 by 1:3', '0:3-3 by 1:3']);
    expect(plan([...log, entry(1, 1, 3)], 5)).toEqual([]);
    expect(plan([...log, entry(1, 3, 8)], 50)).toEqual([]);
    expect(plan([...segments(1, 4), entry(1, 1, 4)], 50)).toEqual(['0:1-1 by 1:4', '0:2-2 by 1:4']);
  });

  test('merged files go below the oldest image that stays, when old; the newest of a level never', () => {
    const log = [
      ...segments(9, 12),
      entry(1, 1, 4),
      entry(1, 5, 8),
      entry(1, 9, 12),
      entry(2, 1, 8),
      entry(9, 1, 6),
      entry(9, 1, 8, 90),
    ];
    expect(plan(log, 99)).not.toContain('1:1-4 by 9:8');
    expect(plan(log, 150)).toEqual([
      '0:9-9 by 1:12',
      '0:10-10 by 1:12',
      '9:1-6 by 9:8',
      '1:1-4 by 9:8',
      '1:5-8 by 9:8',
    ]);
    // A database that is quiet since: its last image is old, and so is all that follows it.
    const quiet = [entry(9, 1, 4), entry(1, 5, 6), entry(1, 7, 8), entry(1, 9, 10), ...segments(9, 12)];
    expect(plan(quiet, 1000)).toEqual(['0:9-9 by 1:10', '0:10-10 by 1:10']);
  });
});

describe('snapshots made often', () => {
  const HOUR = 3_600_000;
  const at = (storedAt: number): LogEntry => ({ storedAt }) as LogEntry;

  test('are thinned to one per stretch, so that a busy day does not keep thousands', () => {
    const made = Array.from({ length: 24 * 360 }, (_, i) => at(i * 10_000));
    const now = 24 * HOUR;
    const gone = new Set(oldSnapshots(made, now, { keepSnapshotsMs: 24 * HOUR, snapshotSpacingMs: HOUR }));
    const kept = made.filter((entry) => !gone.has(entry));
    expect(kept).toHaveLength(23 + 2);
    expect(kept.slice(-2)).toEqual(made.slice(-2));
    // Looking again later takes nothing more of what is young enough.
    expect(oldSnapshots(kept, now, { keepSnapshotsMs: 24 * HOUR, snapshotSpacingMs: HOUR })).toEqual([]);
  });
});
