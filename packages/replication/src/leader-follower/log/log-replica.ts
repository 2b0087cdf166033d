/** A replica on a log: follows, or leads a term, never both. See DESIGN.md for what the log decides. */
import { type Env, hasCode } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { EventLog, Json } from '../../ports/event-log.ts';
import type { SnapshotInfo } from '../../ports/snapshot-store.ts';
import type { ResolvedConfig } from '../config.ts';
import { Recovery, type RecoveryProgress } from '../recovery-progress.ts';
import type { HandedWrite, RebuildOptions, Replica, ReplicaHost } from '../replica.ts';
import type { WriteRequest } from '../write-request.ts';
import { Freshness } from './freshness.ts';
import { LogFollower } from './log-follower.ts';
import { EPOCH_TOPIC, type EpochRecord, messageIdOf, parseRecord } from './log-records.ts';
import { LogState } from './log-state.ts';
import { LogTerm } from './log-term.ts';
import { rebuildState } from './rebuild.ts';
import { Snapshots } from './snapshots.ts';

/** Claims that others' records came before. */
const CLAIM_ATTEMPTS = 20;
const WATCH_RETRY_MS = 1000;

export class LogReplica implements Replica {
  readonly #config: ResolvedConfig;
  readonly #log: EventLog;
  readonly #host: ReplicaHost;
  readonly #env: Env;
  readonly #state: LogState;
  readonly #freshness: Freshness;
  readonly #recovery = new Recovery();
  readonly #snapshots: Snapshots | undefined;
  #follower: LogFollower | undefined;
  #term: LogTerm | undefined;
  #watching: AbortController | undefined;
  readonly #closing = new AbortController();

  constructor(config: ResolvedConfig, log: EventLog, host: ReplicaHost, env: Env) {
    this.#config = config;
    this.#log = log;
    this.#host = host;
    this.#env = env;
    this.#state = new LogState(config);
    this.#freshness = new Freshness(env.clock.monotonic());
    this.#state.onUnfit = (record) => host.skipped(record);
    const onFailure = (error: Error): void => host.failed(error, 'snapshot');
    if (config.snapshots !== undefined)
      this.#snapshots = new Snapshots(config.snapshots, config, log, this.#state, env.clock, onFailure);
  }

  get applied(): number {
    return this.#state.sequence;
  }

  get end(): number {
    return Math.max(this.#freshness.end, this.#state.sequence);
  }

  get epoch(): number {
    return this.#state.fence.epoch;
  }

  get logId(): number {
    return this.#state.logId;
  }

  get recovery(): RecoveryProgress {
    return this.#recovery.progress(this.#env.clock.monotonic());
  }

  ageMs(): number {
    return this.#freshness.ageMs(this.#env.clock.monotonic());
  }

  /** Waits for the end of the log, but not longer than a write may take: following goes on. */
  async follow(): Promise<number> {
    const before = this.applied;
    this.#follower ??= this.#newFollower();
    const patience = new AbortController();
    const late = this.#env.clock.sleep(this.#config.writeTimeoutMs, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.#follower.caughtUp, late]);
    patience.abort();
    return this.applied - before;
  }

  async unfollow(): Promise<void> {
    const follower = this.#follower;
    this.#follower = undefined;
    await follower?.stop();
  }

  async catchUp(): Promise<number> {
    const before = this.applied;
    await this.#follower?.caughtUp;
    return this.applied - before;
  }

  async begin(epoch: number, mayLead: () => boolean): Promise<number> {
    this.#follower ??= this.#newFollower();
    return this.lead(epoch, mayLead);
  }

  behind(): number {
    return Math.max(0, this.end - this.applied);
  }

  async lead(epoch: number, mayLead: () => boolean): Promise<number> {
    const { nodeId, writeTimeoutMs } = this.#config;
    const follows = this.#follower !== undefined;
    // A snapshot is the follower's business: with it this replica is near the end.
    if (follows) await this.follow();
    await this.unfollow();
    try {
      for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
        const { end } = await this.#state.readToEnd(this.#log, this.#env.clock, writeTimeoutMs);
        if (!mayLead()) throw replicationErrors.create('NO_QUORUM', { node: nodeId, problem: 'its term has ended' });
        const claimed = await this.#claim(Math.max(epoch, this.epoch + 1), end);
        if (claimed !== undefined) return this.#beginTerm(claimed.epoch, claimed.end, mayLead);
      }
      throw replicationErrors.create('LEADER_LOCK_HELD', {
        node: nodeId,
        holder: 'others, who claim at the same time',
      });
    } catch (error) {
      if (follows) this.#follower = this.#newFollower();
      throw error;
    }
  }

  async resign(): Promise<void> {
    this.#watching?.abort();
    await this.#term?.resign();
    this.#term = undefined;
  }

  write(request: WriteRequest, timeoutMs: number): Promise<HandedWrite> {
    if (this.#term !== undefined) return this.#term.write(request, timeoutMs);
    const fields = { node: this.#config.nodeId, problem: 'it has no term in the log; was it started?' };
    throw replicationErrors.create('STALE_LEADER', fields);
  }

  /** Its state, made anew from snapshot and log. As it was when this throws. Not of one that leads. */
  async rebuild({ signal, discard = false }: RebuildOptions): Promise<void> {
    const [config, log, state, snapshots] = [this.#config, this.#log, this.#state, this.#snapshots];
    const [freshness, recovery, { clock }] = [this.#freshness, this.#recovery, this.#env];
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([this.#closing.signal, signal]);
    const follows = this.#follower !== undefined;
    await this.unfollow();
    const began = clock.monotonic();
    try {
      const events = await rebuildState({ config, log, state, clock, snapshots, freshness, recovery, discard }, stop);
      this.#host.applied([], state.sequence);
      if (events > 0) this.#host.recovered(events, clock.monotonic() - began);
    } finally {
      if (follows && !this.#closing.signal.aborted) this.#follower = this.#newFollower();
    }
  }

  /** Undefined when there are no snapshots, or a newer one exists. */
  async snapshot(): Promise<SnapshotInfo | undefined> {
    return this.#snapshots?.take();
  }

  async close(): Promise<void> {
    this.#closing.abort(replicationErrors.create('REPLICA_CLOSED', { node: this.#config.nodeId }));
    this.#watching?.abort();
    await this.unfollow();
    await this.#term?.close();
    this.#term = undefined;
    await this.#snapshots?.close();
  }

  /** The epoch and the log's end when the log has the record; undefined when something else came first, or nobody knows. */
  async #claim(epoch: number, end: number): Promise<{ epoch: number; end: number } | undefined> {
    const { nodeId: node, namespace, writeTimeoutMs: timeoutMs } = this.#config;
    const { clock, random } = this.#env;
    const claim = random.uuid();
    const record: EpochRecord = { type: 'replication.epoch', namespace, epoch, node, claim, timestamp: clock.wall() };
    const event = record as unknown as Json;
    const options = { topic: EPOCH_TOPIC, messageId: messageIdOf(record), expectedLastSequence: end, timeoutMs };
    try {
      const { sequence } = await this.#log.append(event, options);
      this.#state.apply([{ sequence, storedAt: 0, topic: EPOCH_TOPIC, event }]);
      return { epoch, end: sequence };
    } catch (error) {
      if (!hasCode(error, 'EVENT_LOG_CONFLICT', 'DEADLINE_EXCEEDED')) throw error;
    }
    // It may be there all the same, or have come to stand behind somebody else's.
    const reading = await this.#state.readToEnd(this.#log, clock, timeoutMs);
    return this.#state.fence.claim === claim ? { epoch, end: reading.end } : undefined;
  }

  #beginTerm(epoch: number, end: number, mayLead: () => boolean): number {
    const { clock } = this.#env;
    const [log, state, host, config] = [this.#log, this.#state, this.#host, this.#config];
    this.#term = new LogTerm({ log, state, host, config, clock }, epoch, end, mayLead);
    this.#freshness.answered(clock.monotonic(), end, state.sequence);
    this.#watching = new AbortController();
    void this.#watch(this.#term, state.sequence, this.#watching.signal);
    return epoch;
  }

  /** Another's epoch record ends the term, also that of a leader who has nothing to write. */
  async #watch(term: LogTerm, after: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const item of this.#log.read({ after, topic: EPOCH_TOPIC, signal })) {
          if (item.type === 'trimmed' && item.first > this.#state.sequence + 1) {
            // The successor's record may have been among what this node has not seen.
            term.end();
            this.#host.deposed(undefined, term.epoch);
            return;
          }
          if (item.type !== 'event') continue;
          const record = parseRecord(item.event, this.#config.namespace);
          if (record === undefined || record.epoch <= term.epoch || signal.aborted) continue;
          term.end();
          this.#host.deposed(record.node, record.epoch);
          return;
        }
      } catch (error) {
        if (!signal.aborted) this.#host.failed(error as Error, 'watch for another leader');
      }
      await this.#env.clock.sleep(WATCH_RETRY_MS, { signal }).catch(() => {});
    }
  }

  #newFollower(): LogFollower {
    return new LogFollower({
      config: this.#config,
      log: this.#log,
      state: this.#state,
      host: this.#host,
      env: this.#env,
      snapshots: this.#snapshots,
      freshness: this.#freshness,
      recovery: this.#recovery,
    });
  }
}
