/**
 * What the log of several masters must say of what they acknowledged. Pure, and a model of its own: who takes part, which events of a life
 * count, and what a disk may take with it.
 */
import type { LogEvent } from '@canopy/replication';
import { type Acknowledged, type Fields, holes } from './history.ts';

interface Life {
  readonly incarnation: unknown;
  readonly active: boolean;
  readonly joinedAt: number;
}

type Clock = Readonly<Record<string, number>>;

export interface MastersHistory {
  readonly problems: readonly string[];
  /** Writes acknowledged as `local` that went with a disk. */
  readonly lost: number;
}

/** `shown` is what they show for each key that was written, `disks` which disk each of them has at the end. */
export function checkMasters(
  events: readonly LogEvent[],
  acknowledged: readonly Acknowledged[],
  shown: ReadonlyMap<string, unknown>,
  disks: Readonly<Record<string, number>> = {},
): MastersHistory {
  const model = new Model();
  for (const event of events) model.receive(event);
  const problems = [...holes(events), ...model.gaps()];
  let lost = 0;
  for (const { node, disk, ack, key, value } of acknowledged) {
    if (model.counts(node, key, value)) continue;
    if (ack === 'local' && disk < (disks[node] ?? disk)) lost += 1;
    else problems.push(`${node} acknowledged ${value} of ${key} (${ack}): it is lost`);
  }
  problems.push(...gapsOfDisks(model, acknowledged));
  for (const [key, value] of shown) {
    const last = model.latest(key);
    if (last !== value) problems.push(`${key} shows ${value}, the latest is ${last}`);
  }
  return { problems, lost };
}

/** Increments: at least what was acknowledged and not lost with a disk, at most what was asked for. */
export function checkCounts(
  {
    asked,
    acknowledged,
  }: { readonly asked: number; readonly acknowledged: readonly Pick<Acknowledged, 'node' | 'disk'>[] },
  shown: number,
  disks: Readonly<Record<string, number>> = {},
): readonly string[] {
  const kept = acknowledged.filter(({ node, disk }) => disk === (disks[node] ?? disk)).length;
  if (shown >= kept && shown <= asked) return [];
  return [`a counter shows ${shown}; ${kept} of ${asked} increments were acknowledged by disks that are still there`];
}

/** What is lost with a disk is the end of what it had: nothing that was acknowledged before a write that counts. */
function gapsOfDisks(model: Model, acknowledged: readonly Acknowledged[]): readonly string[] {
  const problems: string[] = [];
  const latest = new Map<string, number>();
  for (const { node, disk, key, value, begun } of acknowledged)
    if (model.counts(node, key, value))
      latest.set(`${node} ${disk}`, Math.max(begun, latest.get(`${node} ${disk}`) ?? 0));
  for (const { node, disk, key, value, ended } of acknowledged)
    if (ended < (latest.get(`${node} ${disk}`) ?? 0) && !model.counts(node, key, value))
      problems.push(`${node} acknowledged ${value} of ${key} before a write that counts: it is lost`);
  return problems;
}

class Model {
  readonly #lives = new Map<string, Life>();
  readonly #seen = new Map<string, number>();
  readonly #early = new Map<string, Map<number, Fields>>();
  readonly #counting = new Set<string>();
  readonly #latest = new Map<string, { readonly hlc: string; readonly value: unknown }>();

  receive({ sequence, event }: LogEvent): void {
    const { type, masterId, incarnation, since, events } = event as Fields;
    const author = masterId as string;
    const known = this.#lives.get(author);
    if (type === 'join') {
      if (known?.active && known.incarnation === incarnation) return;
      if (typeof since === 'number' && since < (known?.joinedAt ?? 0)) return;
      this.#lives.set(author, { incarnation, active: true, joinedAt: sequence });
      this.#early.delete(author);
    } else if (type === 'leave') {
      // One that names no life is meant for whichever there is.
      const isMeant = incarnation === undefined || incarnation === known?.incarnation;
      if (known !== undefined && isMeant) this.#lives.set(author, { ...known, active: false });
    }
    if (type === 'write' || type === 'delete') this.#take(event as Fields);
    if (type === 'events') for (const each of events as readonly Fields[]) this.#take(each);
  }

  counts(node: string, key: string, value: unknown): boolean {
    return this.#counting.has(`${node} ${key} ${value}`);
  }

  latest(key: string): unknown {
    return this.#latest.get(key)?.value;
  }

  /** Events that wait for others which never came. */
  gaps(): readonly string[] {
    return [...this.#early].flatMap(([author, early]) =>
      early.size === 0 ? [] : [`the events of ${author} have holes`],
    );
  }

  #take(event: Fields): void {
    const author = event.masterId as string;
    const life = this.#lives.get(author);
    if (life !== undefined && !(life.active && life.incarnation === event.incarnation)) return;
    const number = numberOf(event);
    if (number <= (this.#seen.get(author) ?? 0)) return;
    const early = this.#early.get(author) ?? new Map<number, Fields>();
    this.#early.set(author, early);
    if (!early.has(number)) early.set(number, event);
    for (let went = true; went; ) went = [...this.#early.keys()].some((each) => this.#next(each));
  }

  /** The next event of an author, when all that it had seen counts. */
  #next(author: string): boolean {
    const seen = this.#seen.get(author) ?? 0;
    const event = this.#early.get(author)?.get(seen + 1);
    if (event === undefined) return false;
    const clock = Object.entries(event.vectorClock as Clock);
    if (clock.some(([other, number]) => other !== author && number > (this.#seen.get(other) ?? 0))) return false;
    this.#early.get(author)?.delete(seen + 1);
    this.#seen.set(author, seen + 1);
    const key = event.entityId as string;
    const { value } = (event.data ?? {}) as Fields;
    this.#counting.add(`${author} ${key} ${value}`);
    const last = this.#latest.get(key);
    if (last === undefined || last.hlc < String(event.hlc)) this.#latest.set(key, { hlc: String(event.hlc), value });
    return true;
  }
}

function numberOf({ masterId, vectorClock }: Fields): number {
  return (vectorClock as Clock)[masterId as string] ?? 0;
}
