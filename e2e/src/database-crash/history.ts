/** What a campaign's checks are, pure: each says what is wrong, in words; nothing is wrong when the list is empty. */

/** Marks of one writer in a database: how many, and the highest. They are numbered from 1 without gaps. */
export interface Marks {
  readonly count: number;
  readonly last: number;
}

export type MarksByWriter = ReadonlyMap<string, Marks>;

/** Acknowledged (the highest mark of each writer that a resolved sync covers) and not there. */
export function lostMarks(
  acknowledged: ReadonlyMap<string, number>,
  found: MarksByWriter,
  where: string,
): readonly string[] {
  const problems: string[] = [];
  for (const [writer, last] of acknowledged) {
    const there = found.get(writer)?.last ?? 0;
    if (there < last) problems.push(`${where}: writer ${writer} was acknowledged ${last} marks, ${there} are there`);
  }
  return [...problems, ...brokenMarks(found, where)];
}

/** A hole among a writer's marks, or one that is there twice. */
export function brokenMarks(found: MarksByWriter, where: string): readonly string[] {
  return [...found]
    .filter(([, { count, last }]) => count !== last)
    .map(([writer, { count, last }]) => `${where}: writer ${writer} has ${count} marks, the highest is ${last}`);
}

/** Committed at a node that was replaced, not in the log that went on, and not kept aside either. */
export function droppedMarks(
  committed: ReadonlyMap<string, number>,
  now: MarksByWriter,
  kept: readonly MarksByWriter[],
): readonly string[] {
  const problems: string[] = [];
  for (const [writer, last] of committed) {
    const best = Math.max(...[now, ...kept].map((one) => one.get(writer)?.last ?? 0));
    if (best < last)
      problems.push(`writer ${writer} had committed ${last} marks, ${best} are in the log or kept aside`);
  }
  return problems;
}

export interface ChainEntry {
  readonly minTxid: number;
  readonly maxTxid: number;
  readonly epoch: number;
  /** Of the bucket: tells an entry that came back from one that stayed. */
  readonly revision?: number;
}

/** Level 0 of the log, in order: no hole, no epoch below the one before it. */
export function brokenChain(entries: readonly ChainEntry[]): readonly string[] {
  const problems: string[] = [];
  for (const [i, entry] of entries.entries()) {
    const before = entries[i - 1];
    if (before === undefined) continue;
    if (entry.minTxid !== before.maxTxid + 1)
      problems.push(`the log has ${before.maxTxid} and then ${entry.minTxid}${revisionsOf(entries, i)}`);
    if (entry.epoch < before.epoch)
      problems.push(`the log's epoch falls from ${before.epoch} to ${entry.epoch} at ${entry.minTxid}`);
  }
  return problems;
}

/**
 * An entry alone before all others of level 0, which a deletion has left over or a killed server has brought back: what is
 * missing behind it, and itself, is in `covers` (merges and full images) without a gap. Anything else is a real hole.
 */
export function leftOver(entries: readonly ChainEntry[], covers: readonly ChainEntry[]): ChainEntry | undefined {
  const [first, next] = entries;
  if (first === undefined || next === undefined || next.minTxid <= first.maxTxid + 1) return undefined;
  let reached = first.minTxid - 1;
  for (const { minTxid, maxTxid } of [...covers].sort((a, b) => a.minTxid - b.minTxid))
    if (minTxid <= reached + 1) reached = Math.max(reached, maxTxid);
  return reached >= next.minTxid - 1 ? first : undefined;
}

function revisionsOf(entries: readonly ChainEntry[], i: number): string {
  const of = (at: number): string => `${entries[at]?.minTxid} at ${entries[at]?.revision}`;
  if (entries[i]?.revision === undefined) return '';
  return ` (${i} entries before it; revisions: ${of(0)}, ${of(i - 1)}, ${of(i)}, ${of(entries.length - 1)})`;
}

/** What a reader has printed. */
export function tornReads(output: string): readonly string[] {
  return output.split('\n').filter((line) => line.startsWith('TORN '));
}
