/**
 * Conflicts as people look at them: one record per entity, what waits for a decision, and where they pile up. Bounded: of what is
 * settled the oldest go first, and are counted; what is pending stays (there is at most one per entity that is in conflict).
 */
import type { ClockRecord } from './event.ts';

export interface ConflictVersion {
  readonly masterId: string;
  /** Null: this version deletes. */
  readonly data: Record<string, unknown> | null;
  readonly vectorClock: ClockRecord;
  readonly timestamp: number;
}

export interface ConflictRecord {
  readonly entityId: string;
  /** This master's wall clock, ms. */
  readonly detectedAt: number;
  /** What showed here first, then the newcomer; more where more than two masters wrote. */
  readonly versions: readonly ConflictVersion[];
  readonly resolutionOptions: readonly ('keep-local' | 'keep-remote' | 'lww' | 'merge')[];
}

export interface HotEntity {
  readonly entityId: string;
  /** Conflicts since the start; may be too high by `atMost` where more entities were in conflict than are counted. */
  readonly conflicts: number;
  readonly atMost: number;
}

const HOT_MAX = 1000;

export class ConflictBook {
  readonly #limit: number;
  readonly #records = new Map<string, ConflictRecord>();
  readonly #pending = new Set<string>();
  /** Has passed only pending records: beginning anew each time, it would walk over all that went before. */
  #oldest: Iterator<string> = this.#records.keys();
  readonly #hot = new Map<string, { conflicts: number; atMost: number }>();
  /** The most that a forgotten entity had been counted. */
  #forgotten = 0;
  detected = 0;
  /** Settled records that made room for newer ones. */
  dropped = 0;

  /** `limit`: settled records kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(record: ConflictRecord, pending: boolean): void {
    this.detected += 1;
    this.#heat(record.entityId);
    this.restore(record, pending);
  }

  /** As `add`, without counting. */
  restore(record: ConflictRecord, pending: boolean): void {
    const { entityId } = record;
    this.#records.delete(entityId);
    this.#records.set(entityId, record);
    if (pending) this.#pending.add(entityId);
    else this.#pending.delete(entityId);
    if (this.#records.size - this.#pending.size <= this.#limit) return;
    this.#dropOldest();
  }

  /** True when it was pending. */
  settle(entityId: string): boolean {
    this.#records.delete(entityId);
    return this.#pending.delete(entityId);
  }

  isPending(entityId: string): boolean {
    return this.#pending.has(entityId);
  }

  get(entityId: string): ConflictRecord | undefined {
    return this.#records.get(entityId);
  }

  all(): ConflictRecord[] {
    return [...this.#records.values()];
  }

  pending(): ConflictRecord[] {
    return this.all().filter(({ entityId }) => this.#pending.has(entityId));
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  hot(limit: number): HotEntity[] {
    return [...this.#hot]
      .map(([entityId, counts]) => ({ entityId, ...counts }))
      .sort((a, b) => b.conflicts - a.conflicts || (a.entityId < b.entityId ? -1 : 1))
      .slice(0, limit);
  }

  /** There is a settled one. A record that is settled, or comes again, stands at the end or is gone, so none is passed by. */
  #dropOldest(): void {
    for (let next = this.#oldest.next(); ; next = this.#oldest.next()) {
      if (next.done) this.#oldest = this.#records.keys();
      else if (!this.#pending.has(next.value)) {
        this.#records.delete(next.value);
        this.dropped += 1;
        return;
      }
    }
  }

  /** Counts frequent entities in bounded memory: the rarer half goes now and then, and who comes later may have been among it. */
  #heat(entityId: string): void {
    const known = this.#hot.get(entityId);
    if (known !== undefined) known.conflicts += 1;
    else this.#hot.set(entityId, { conflicts: this.#forgotten + 1, atMost: this.#forgotten });
    if (this.#hot.size <= 2 * HOT_MAX) return;
    const byCount = [...this.#hot].sort(([, a], [, b]) => b.conflicts - a.conflicts);
    for (const [id, { conflicts }] of byCount.slice(HOT_MAX)) {
      this.#forgotten = Math.max(this.#forgotten, conflicts);
      this.#hot.delete(id);
    }
  }
}
