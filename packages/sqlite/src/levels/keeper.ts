/**
 * The upkeep of a log, beside the shipping and never in its way: merges what is due, deletes what nobody needs, removes
 * what cut-off uploads left, and looks at the bucket's settings. One thing at a time. It is run by the primary; two that
 * run at once (one of them woken from a long sleep) only do each other's work. A failure is told and tried again, and
 * never ends anything.
 */
import { rmSync } from 'node:fs';
import { CanopyError, type DatabaseEvent, type Env, hasCode, messageOf } from '@canopy/core';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { PageEncoding } from '../ltx/header.ts';
import type { BucketFinding } from './bucket-check.ts';
import { Catalogue } from './catalogue.ts';
import { compact } from './compactor.ts';
import { nextLook, planCompaction } from './planning.ts';
import type { Proofs } from './proofs.ts';
import { applyRetention, planRetention, proofsOf } from './retention.ts';
import { findingsAbout, type StoreSettings, settingsOf } from './settings.ts';
import { StoreClock } from './store-clock.ts';

/** How often it looks for what may be deleted; an idle log is looked at less often. */
const LOOK_MS = 15_000;
const IDLE_LOOK_MS = 300_000;
const CHECK_MS = 30_000;
/** A merge that found no room is tried again after this, once something was deleted. */
const FULL_RETRY_MS = 1000;
const SWEEP_MS = 6 * 3_600_000;
const ORPHAN_MS = 3_600_000;
const SWEEP_TIMEOUT_MS = 300_000;

export interface KeeperOptions {
  readonly compactionLevelsMs: readonly number[];
  readonly keepSegmentsMs: number;
  readonly retentionMs: number;
  readonly keepSnapshots: number;
  readonly snapshotIntervalMs: number;
  readonly pageEncoding: PageEncoding;
}

export interface KeeperDeps {
  readonly log: SegmentLog;
  readonly env: Env;
  readonly node: string;
  readonly options: KeeperOptions;
  /** A directory for scratch files, of this keeper alone. */
  readonly scratch: string;
  onEvent(event: DatabaseEvent): void;
  onChange(): void;
}

/** Since the start of this keeper. */
export interface KeeperStats {
  readonly merges: number;
  readonly mergedInputs: number;
  readonly deletedSegments: number;
  readonly deletedSnapshots: number;
  readonly deletedMerged: number;
  readonly orphans: number;
  /** Objects in the log by level; undefined while not known. */
  readonly objects: Readonly<Record<number, number>> | undefined;
}

type Step = 'merge' | 'retention' | 'check' | 'sweep';

export class LogKeeper {
  readonly #deps: KeeperDeps;
  readonly #catalogue = new Catalogue();
  readonly #proofs: Proofs;
  readonly #storeClock: StoreClock;
  readonly #problems = new Map<Step, string>();
  readonly #settings: StoreSettings;
  #counts = { merges: 0, mergedInputs: 0, deletedSegments: 0, deletedSnapshots: 0, deletedMerged: 0, orphans: 0 };
  /** The bucket had no room for the last merge. */
  #isFull = false;
  #idleSince: { readonly version: number; readonly at: number } | undefined;
  #checkDueAt = Number.NEGATIVE_INFINITY;
  #sweepDueAt: number;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
    this.#proofs = proofsOf(deps.log);
    this.#settings = settingsOf(deps.log);
    this.#storeClock = new StoreClock(deps.env.clock);
    // Not all databases of a machine at once.
    this.#sweepDueAt = deps.env.clock.monotonic() + SWEEP_MS * deps.env.random.next();
  }

  /** What keeps the log from being kept, or loses data. */
  get problem(): string | undefined {
    const finding = this.findings.find((one) => one.isProblem);
    return finding?.message ?? [...this.#problems.values()][0];
  }

  get findings(): readonly BucketFinding[] {
    return this.#settings.findings;
  }

  get stats(): KeeperStats {
    return { ...this.#counts, objects: this.#catalogue.isComplete ? countByLevel(this.#catalogue.entries) : undefined };
  }

  /** See Catalogue. */
  get firstCopyAt(): number | undefined {
    return this.#catalogue.firstCopyAt;
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, env, scratch } = this.#deps;
    const following = this.#catalogue.follow(log, env.clock, env.log, signal);
    try {
      // What a crash left.
      rmSync(scratch, { recursive: true, force: true });
      while (!signal.aborted) {
        await env.clock.sleep(this.#pauseMs(), { signal });
        await this.#look(signal);
      }
    } catch (error) {
      if (!signal.aborted) env.log.error('log_keeper_ended', { reason: messageOf(error) });
    }
    await following;
  }

  /** One round of everything that is due. Failures are kept as problems. */
  async #look(signal: AbortSignal): Promise<void> {
    const now = this.#deps.env.clock.monotonic();
    if (now >= this.#checkDueAt || this.#isFull) {
      this.#checkDueAt = now + CHECK_MS;
      await this.#step('check', signal, () => this.#check(signal));
    }
    if (!this.#catalogue.isComplete || this.#isIdle(now)) return;
    const { version } = this.#catalogue;
    await this.#step('merge', signal, () => this.#merge(signal));
    await this.#step('retention', signal, () => this.#retain(signal));
    this.#idleSince = version === this.#catalogue.version ? { version, at: now } : undefined;
    if (now < this.#sweepDueAt) return;
    this.#sweepDueAt = now + SWEEP_MS;
    await this.#step('sweep', signal, () => this.#sweep(signal));
  }

  #pauseMs(): number {
    const now = this.#storeClock.now() ?? this.#deps.env.clock.wall();
    const due = (nextLook(this.#deps.options.compactionLevelsMs, now) ?? now + LOOK_MS) - now;
    return Math.max(50, Math.min(due, this.#isFull ? FULL_RETRY_MS : LOOK_MS));
  }

  /** Nothing has changed since a round that found nothing to do: what remains is a matter of age. */
  #isIdle(now: number): boolean {
    const idle = this.#idleSince;
    return (
      !this.#isFull &&
      idle !== undefined &&
      idle.version === this.#catalogue.version &&
      now - idle.at < this.#idleLookMs()
    );
  }

  #idleLookMs(): number {
    return Math.min(IDLE_LOOK_MS, Math.max(LOOK_MS, this.#deps.options.keepSegmentsMs / 4));
  }

  async #merge(signal: AbortSignal): Promise<void> {
    const { log, env, node, options, scratch } = this.#deps;
    const deps = {
      log,
      clock: env.clock,
      proofs: this.#proofs,
      scratch,
      node,
      pageEncoding: this.#deps.options.pageEncoding,
    };
    for (;;) {
      const now = this.#storeClock.now();
      if (now === undefined) return;
      const plan = planCompaction(this.#catalogue.entries, options.compactionLevelsMs, now);
      if (plan === undefined) return;
      const made = await compact(deps, plan, signal);
      this.#isFull = false;
      // Somebody else was faster with everything: the watch will tell.
      if (made === undefined) return;
      this.#catalogue.addOwn(made);
      this.#counts.merges++;
      this.#counts.mergedInputs += plan.inputs.length;
      env.log.debug('log_merged', {
        level: plan.level,
        inputs: plan.inputs.length,
        from: plan.minTxid,
        to: plan.maxTxid,
      });
    }
  }

  async #retain(signal: AbortSignal): Promise<void> {
    const { log, options } = this.#deps;
    // Without room the log stops; single transactions of the last minutes, merged already, are the lesser loss.
    const isTight = this.#isFull || this.findings.some(({ code }) => code === 'LOG_NEARLY_FULL');
    const now = this.#storeClock.now();
    if (now === undefined) return;
    const plan = planRetention(this.#catalogue.entries, now, {
      levels: options.compactionLevelsMs.length > 0,
      keepMs: isTight ? 0 : options.keepSegmentsMs,
      keepSnapshotsMs: options.retentionMs,
      keepSnapshots: options.keepSnapshots,
      snapshotSpacingMs: options.snapshotIntervalMs,
    });
    if (plan.length === 0) return;
    for (const cover of new Set(plan.flatMap(({ coveredBy }) => coveredBy))) await this.#proveOrMend(cover, signal);
    const deleted = ({ name, level }: LogEntry): void => {
      this.#catalogue.remove(name);
      if (level === 0) this.#counts.deletedSegments++;
      else if (level === SNAPSHOT_LEVEL) this.#counts.deletedSnapshots++;
      else this.#counts.deletedMerged++;
    };
    await applyRetention(log, plan, this.#proofs, signal, deleted, (entry) => {
      this.#deps.env.log.warn('log_entry_missed', { bucket: log.bucket, entry: entry.name });
      this.#catalogue.add(entry);
    });
  }

  /** A merge of level 1 that was damaged later is made anew while all of its inputs are there. Throws what is wrong else. */
  async #proveOrMend(cover: LogEntry, signal: AbortSignal): Promise<void> {
    const { log, env, node, scratch } = this.#deps;
    try {
      await this.#proofs.prove(cover, signal);
    } catch (error) {
      const { minTxid, maxTxid, level } = cover;
      const inputs = this.#catalogue.entries
        .filter((entry) => entry.level === 0 && entry.minTxid >= minTxid && entry.maxTxid <= maxTxid)
        .sort((a, b) => a.minTxid - b.minTxid);
      const isWhole = level === 1 && inputs.length === maxTxid - minTxid + 1;
      if (!isWhole || !hasCode(error, 'SQLITE_LTX_INVALID', 'BLOB_CORRUPT')) throw error;
      this.#warn(error.code, `${messageOf(error)}; it is made anew`);
      // In its place, so that until then there is what there was.
      const deps = {
        log,
        clock: env.clock,
        proofs: this.#proofs,
        scratch,
        node,
        pageEncoding: this.#deps.options.pageEncoding,
      };
      if ((await compact(deps, { level, inputs, minTxid, maxTxid, replaces: true }, signal)) === undefined) throw error;
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const before = this.findings;
    const { store } = this.#deps.log;
    const info = await store.bucketInfo({ signal });
    this.#storeClock.heard(info.now);
    const found = findingsAbout(store, info);
    for (const { code, message } of this.#settings.note(found)) this.#warn(code, message);
    const told = (findings: readonly BucketFinding[]): string => findings.map(({ message }) => message).join();
    if (told(before) !== told(found)) this.#deps.onChange();
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { orphans } = await this.#deps.log.store.sweep({
      olderThanMs: ORPHAN_MS,
      timeoutMs: SWEEP_TIMEOUT_MS,
      signal,
    });
    this.#counts.orphans += orphans;
    if (orphans > 0) this.#deps.env.log.info('log_orphans_removed', { bucket: this.#deps.log.bucket, orphans });
  }

  async #step(step: Step, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const before = this.#problems.get(step);
    try {
      await work();
      this.#problems.delete(step);
    } catch (error) {
      if (signal.aborted) return;
      if (hasCode(error, 'BUCKET_FULL', 'NATS_STORAGE_FULL')) this.#isFull = true;
      const message = `${TITLES[step]}: ${messageOf(error)}`;
      this.#problems.set(step, message);
      if (before !== message) this.#warn(CanopyError.is(error) ? error.code : 'UPKEEP_FAILED', message);
    }
    if (before !== this.#problems.get(step)) this.#deps.onChange();
  }

  #warn(code: string, message: string): void {
    this.#deps.onEvent({ type: 'warning', code, message });
  }
}

const TITLES: Readonly<Record<Step, string>> = {
  merge: 'the log is not merged',
  retention: 'old parts of the log are not deleted',
  check: 'the settings of the bucket are not known',
  sweep: 'left-over uploads are not removed',
};

function countByLevel(entries: readonly LogEntry[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { level } of entries) counts[level] = (counts[level] ?? 0) + 1;
  return counts;
}
