/**
 * What the logs must say of what was acknowledged. Pure. The models of the logs here are the checkers' own: an event counts by the rules of
 * the package's DESIGN.md, not by its code.
 */
import type { LogEvent } from '@canopy/replication';

/** `begun` and `ended` order calls: one that ended before another began must come before it. */
export interface Acknowledged {
  readonly node: string;
  readonly key: string;
  readonly value: string;
  readonly begun: number;
  readonly ended: number;
  /** Of a leader's answer. */
  readonly sequence: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** Of leader and followers. `state` is what every replica must show at the end of the log. */
export function checkFollowing(
  events: readonly LogEvent[],
  acknowledged: readonly Acknowledged[],
): { readonly problems: readonly string[]; readonly state: ReadonlyMap<string, unknown>; readonly terms: number } {
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
  for (const { node, key, value, sequence } of acknowledged) {
    const record = counting.get(sequence);
    if (record?.key !== key || record.value !== value || record.node !== node)
      problems.push(
        `${node} acknowledged ${value} as ${sequence}: it is not there, or was written after its successor`,
      );
  }
  return { problems: [...problems, ...disorder(acknowledged)], state, terms };
}

/** Of masters: `shown` is what they show for each key that was written. */
export function checkMasters(
  events: readonly LogEvent[],
  acknowledged: readonly Acknowledged[],
  shown: ReadonlyMap<string, unknown>,
): readonly string[] {
  const problems = [...holes(events)];
  const written = new Map<string, { hlc: string; value: unknown }>();
  const there = new Set<string>();
  const numbers = new Map<string, Set<number>>();
  for (const { event } of events) {
    const { type, masterId, entityId, data, hlc, vectorClock } = event as Fields;
    if (type !== 'write') continue;
    const author = masterId as string;
    const seen = numbers.get(author) ?? new Set();
    numbers.set(author, seen.add((vectorClock as Record<string, number>)[author] ?? 0));
    const { value } = data as Fields;
    there.add(`${author} ${entityId} ${value}`);
    const key = entityId as string;
    const last = written.get(key);
    if (last === undefined || last.hlc < String(hlc)) written.set(key, { hlc: String(hlc), value });
  }
  for (const [author, seen] of numbers)
    if (Math.max(...seen) !== seen.size || seen.has(0)) problems.push(`the events of ${author} have holes`);
  for (const { node, key, value } of acknowledged)
    if (!there.has(`${node} ${key} ${value}`)) problems.push(`${node} acknowledged ${value} of ${key}: it is lost`);
  for (const [key, value] of shown) {
    const last = written.get(key)?.value;
    if (last !== value) problems.push(`${key} shows ${value}, the latest is ${last}`);
  }
  return problems;
}

/** Increments: at least what was acknowledged, at most what was asked for. */
export function checkCounts(acknowledged: number, asked: number, shown: number): readonly string[] {
  if (shown >= acknowledged && shown <= asked) return [];
  return [`a counter shows ${shown}; ${acknowledged} of ${asked} increments were acknowledged`];
}

function holes(events: readonly LogEvent[]): readonly string[] {
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
