/**
 * What the logs must say of what was acknowledged and shown by a leader and its followers. Pure. The models of the logs here are the checkers' own:
 * an event counts by the rules of the package's DESIGN.md, not by its code.
 */
import type { LogEvent } from '@canopy/replication';

/** What was promised: `log` is a master's, `stream` and `followers:n` a leader's. `local` may go with the process, or with the disk. */
export type Ack = 'local' | 'log' | 'stream' | `followers:${number}`;

/** `begun` and `ended` order calls: one that ended before another began must come before it. */
export interface Acknowledged {
  readonly node: string;
  /** Which of the node's disks had it. */
  readonly disk: number;
  readonly ack: Ack;
  readonly key: string;
  readonly value: string;
  readonly begun: number;
  readonly ended: number;
  /** Of a leader's answer. */
  readonly sequence: number;
}

/** What a session was shown that had seen all up to `floor`. */
export interface Shown {
  readonly node: string;
  readonly key: string;
  readonly value: string | null;
  readonly floor: number;
}

export type Fields = Readonly<Record<string, unknown>>;

export interface FollowingHistory {
  readonly problems: readonly string[];
  /** What every replica must show at the end of the log. */
  readonly state: ReadonlyMap<string, unknown>;
  readonly terms: number;
  /** Writes acknowledged as `local` that the log does not have. */
  readonly lost: number;
}

/** Of leader and followers. */
export function checkFollowing(
  events: readonly LogEvent[],
  acknowledged: readonly Acknowledged[],
  shown: readonly Shown[] = [],
): FollowingHistory {
  const problems = [...holes(events)];
  const state = new Map<string, unknown>();
  const counting = new Map<number, Fields>();
  const values = new Set<unknown>();
  let [epoch, number, terms] = [0, 0, 0];
  for (const { sequence, event } of events) {
    const record = event as Fields;
    if (record.type === 'replication.epoch' && Number(record.epoch) > epoch) {
      [epoch, number] = [Number(record.epoch), 0];
      terms += 1;
    }
    if (record.type !== 'replication.write' || record.epoch !== epoch) continue;
    number += 1;
    if (record.number !== number) problems.push(`event ${sequence}: write ${record.number} of its term, not ${number}`);
    if (values.has(record.value)) problems.push(`event ${sequence}: ${record.value} counts twice`);
    values.add(record.value);
    counting.set(sequence, record);
    state.set(record.key as string, record.value);
  }
  const kept: Acknowledged[] = [];
  for (const each of acknowledged) {
    const { node, ack, key, value, sequence } = each;
    const record = counting.get(sequence);
    if (record?.key === key && record.value === value && record.node === node) kept.push(each);
    else if (ack !== 'local')
      problems.push(
        `${node} acknowledged ${value} as ${sequence} (${ack}): it is not there, or was written after its successor`,
      );
  }
  problems.push(...disorder(kept), ...checkShown(counting, shown));
  return { problems, state, terms, lost: acknowledged.length - kept.length };
}

/** Sessions read what they wrote, and nothing older than what they read: at least what the log says at their floor. */
function checkShown(counting: ReadonlyMap<number, Fields>, shown: readonly Shown[]): readonly string[] {
  const byKey = new Map<unknown, { sequence: number; value: unknown }[]>();
  for (const [sequence, { key, value }] of counting) byKey.set(key, [...(byKey.get(key) ?? []), { sequence, value }]);
  const problems: string[] = [];
  for (const { node, key, value, floor } of shown) {
    const writes = byKey.get(key) ?? [];
    const due = writes.findLast(({ sequence }) => sequence <= floor)?.sequence ?? 0;
    const at = value === null ? 0 : writes.find((write) => write.value === value)?.sequence;
    if (at === undefined) problems.push(`${node} showed ${value} of ${key}: no write of the log that counts`);
    else if (at < due) problems.push(`${node} showed ${value} of ${key} (${at}) to a session that had seen ${due}`);
  }
  return problems;
}

/** Of events that were read one after the other from the first on. */
export function holes(events: readonly LogEvent[]): readonly string[] {
  return events.flatMap(({ sequence }, i) => (sequence === i + 1 ? [] : [`event ${i + 1} of the log is ${sequence}`]));
}

/** An acknowledged write that ended before another began, and comes behind it. */
function disorder(acknowledged: readonly Acknowledged[]): readonly string[] {
  const problems: string[] = [];
  let later: Acknowledged | undefined;
  for (const each of [...acknowledged].sort((a, b) => b.sequence - a.sequence)) {
    if (later !== undefined && later.ended < each.begun)
      problems.push(`${later.value} was acknowledged before ${each.value} began, and comes behind it`);
    if (later === undefined || each.ended < later.ended) later = each;
  }
  return problems;
}
