/**
 * A replica on a plain pipeline: as good as the pipeline is. A leader changes its store, counts, and sends, in this order; what could not be
 * sent keeps its number and is sent again before anything later, so followers never wait for a number that nobody has.
 */
import { type Clock, type Env, messageOf, type Timer } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import { isSubscribablePipeline } from '../../ports/pipeline.ts';
import { isDurableStateStore } from '../../ports/state-store.ts';
import type { ResolvedConfig } from '../config.ts';
import { Recovery, type RecoveryProgress } from '../recovery-progress.ts';
import type { HandedWrite, Replica, ReplicaHost } from '../replica.ts';
import type { WriteRequest } from '../write-request.ts';
import { elapsedMs, type Moment, momentOf } from './moment.ts';
import { LEADER_CHANGED_EVENT, type PipelineWrite, parsePipelineEvent, WRITE_EVENT } from './pipeline-events.ts';
import { SequenceOrder } from './sequence-order.ts';

interface Unsent {
  readonly event: PipelineWrite;
  readonly done: PromiseWithResolvers<number>;
}

/** A gap that stays is asked for again ever more seldom. */
const GAP_RETRY_MAX_MS = 30_000;
const RESEND_MS = 1000;

export class PlainReplica implements Replica {
  readonly logId = 0;
  readonly #config: ResolvedConfig;
  readonly #host: ReplicaHost;
  readonly #clock: Clock;
  readonly #order: SequenceOrder<PipelineWrite>;
  readonly #unsent: Unsent[] = [];
  readonly #recovery = new Recovery();
  #seenEpoch: number;
  #leaderId: string | undefined;
  #seen: number;
  #freshAt: Moment;
  #sending = false;
  #asking = false;
  #leading = false;
  #unsubscribe: (() => void) | undefined;
  #gapTimer: Timer | undefined;
  #gapTold = 0;
  #resendTimer: Timer | undefined;

  constructor(config: ResolvedConfig, host: ReplicaHost, env: Env) {
    this.#config = config;
    this.#host = host;
    this.#clock = env.clock;
    const { stateStore, lastAppliedSequence } = config;
    const stored = isDurableStateStore(stateStore) ? stateStore.position() : { sequence: 0, epoch: 0 };
    this.#order = new SequenceOrder(Math.max(stored.sequence, lastAppliedSequence), config.reorderBufferSize);
    this.#seenEpoch = stored.epoch;
    this.#leaderId = config.leaderId;
    this.#seen = this.#order.applied;
    this.#freshAt = momentOf(env.clock);
    this.#leading = config.role === 'leader';
  }

  get applied(): number {
    return this.#order.applied;
  }

  get end(): number {
    return Math.max(this.#seen, this.applied);
  }

  get epoch(): number {
    return this.#seenEpoch;
  }

  get recovery(): RecoveryProgress {
    return this.#recovery.progress(this.#clock.monotonic());
  }

  ageMs(): number {
    return elapsedMs(this.#freshAt, momentOf(this.#clock));
  }

  /** Events of the pipeline with a greater number than this replica shows; 0 where it can't be read. */
  behind(): number {
    const { pipeline } = this.#config;
    const events: Iterable<unknown> | PromiseLike<Iterable<unknown>> = pipeline.getEvents?.(0) ?? [];
    if (Symbol.iterator in events) for (const event of events) this.#see(event);
    else this.#seeLater(events);
    return this.#seen - this.applied > 0 ? this.#seen - this.applied : 0;
  }

  async follow(): Promise<number> {
    const { pipeline, namespace } = this.#config;
    this.#leading = false;
    if (isSubscribablePipeline(pipeline) && this.#unsubscribe === undefined)
      this.#unsubscribe = pipeline.subscribe(namespace, (event) => this.#take(event));
    return this.catchUp();
  }

  async unfollow(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#gapTimer?.cancel();
    this.#gapTimer = undefined;
  }

  async catchUp(from: number = this.applied): Promise<number> {
    const before = this.applied;
    const began = this.#clock.monotonic();
    const events = (await this.#config.pipeline.getEvents?.(from)) ?? [];
    for (const event of events) this.#take(event);
    const count = this.applied - before;
    if (count > 0) this.#host.recovered(count, this.#clock.monotonic() - began);
    return count;
  }

  /** Nothing is told: the others were constructed to know it. */
  async begin(epoch: number): Promise<number> {
    this.#leading = true;
    this.#seenEpoch = Math.max(epoch, this.#seenEpoch);
    return this.#seenEpoch;
  }

  /** What waits behind a gap is taken over when the log, read to its end, does not have what is missing. */
  async lead(epoch: number, mayLead: () => boolean): Promise<number> {
    const { nodeId, namespace, pipeline } = this.#config;
    await this.catchUp();
    if (this.#order.missing() !== undefined) await this.catchUp(0);
    if (!mayLead()) throw replicationErrors.create('NO_QUORUM', { node: nodeId, problem: 'its term has ended' });
    for (let lost = this.#order.skip(); lost !== undefined; lost = this.#order.skip()) {
      this.#host.gap({ ...lost, reason: 'lost' });
      this.#drain();
    }
    await this.unfollow();
    this.#leading = true;
    this.#seenEpoch = Math.max(epoch, this.#seenEpoch);
    const previousLeaderId = this.#leaderId;
    this.#leaderId = nodeId;
    const change = { type: LEADER_CHANGED_EVENT, namespace, newLeaderId: nodeId, previousLeaderId, epoch };
    try {
      await pipeline.send([change]);
    } catch (error) {
      // It only redirects; who missed it learns of the leader from the first write.
      this.#host.failed(error as Error, 'announce the leader');
    }
    return epoch;
  }

  async resign(): Promise<void> {
    this.#leading = false;
    this.#resendTimer?.cancel();
    this.#resendTimer = undefined;
    const count = this.#unsent.length;
    this.#failUnsent('this node was demoted');
    this.#unsent.length = 0;
    if (count > 0)
      this.#host.failed(replicationErrors.create('REPLICA_DIVERGED', { node: this.#config.nodeId, count }), 'demote');
  }

  async write(request: WriteRequest): Promise<HandedWrite> {
    const { maxPendingWrites, nodeId, namespace } = this.#config;
    if (this.#unsent.length >= maxPendingWrites)
      throw replicationErrors.create('REPLICA_BUSY', { what: 'writes', limit: maxPendingWrites });
    const { key, value, operation } = request;
    const sequence = this.end + 1;
    this.#store(key, operation === 'delete' ? undefined : value, sequence);
    this.#order.advance(sequence);
    this.#seen = sequence;
    const epoch = this.#seenEpoch;
    const event: PipelineWrite = {
      type: WRITE_EVENT,
      namespace,
      key,
      value,
      operation,
      sequence,
      sourceNode: nodeId,
      timestamp: this.#clock.wall(),
      ...(epoch === 0 ? {} : { epoch }),
    };
    const done = Promise.withResolvers<number>();
    // Its caller may have stopped waiting.
    done.promise.catch(() => {});
    this.#unsent.push({ event, done });
    void this.#send();
    return { sequence, done: done.promise };
  }

  async close(): Promise<void> {
    await this.unfollow();
    this.#resendTimer?.cancel();
    this.#failUnsent('this node was closed');
    this.#unsent.length = 0;
  }

  /** One at a time, in order: what comes later never overtakes. */
  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    this.#resendTimer?.cancel();
    this.#resendTimer = undefined;
    for (let first = this.#unsent[0]; first !== undefined; first = this.#unsent[0]) {
      try {
        await this.#config.pipeline.send([first.event]);
      } catch (error) {
        this.#failUnsent(messageOf(error));
        if (this.#unsent.length > 0) this.#resendTimer = this.#clock.timer(RESEND_MS, () => void this.#send());
        break;
      }
      // Demoted meanwhile: it was answered already.
      if (this.#unsent[0] !== first) break;
      this.#unsent.shift();
      const { key, operation, sequence } = first.event;
      this.#host.written({ key, operation, sequence });
      first.done.resolve(sequence);
    }
    this.#sending = false;
  }

  /** Their callers are answered; the events stay. */
  #failUnsent(problem: string): void {
    for (const { event, done } of this.#unsent) {
      const fields = { key: event.key, problem, unknown: true, sequence: event.sequence };
      done.reject(replicationErrors.create('REPLICATION_FAILED', fields));
    }
  }

  #take(raw: unknown): void {
    const event = parsePipelineEvent(raw, this.#config.namespace);
    if (event === undefined || this.#leading) return;
    const epoch = event.epoch ?? this.#seenEpoch;
    const source = event.type === WRITE_EVENT ? event.sourceNode : event.newLeaderId;
    if (epoch < this.#seenEpoch) {
      const isOld = event.type === LEADER_CHANGED_EVENT || event.sequence <= this.applied;
      const fields = { epoch, source, seen: this.#seenEpoch };
      if (!isOld) this.#host.failed(replicationErrors.create('REPLICA_STALE_EVENT', fields), 'apply');
      return;
    }
    if (epoch > this.#seenEpoch || event.type === LEADER_CHANGED_EVENT) {
      this.#leaderId = source;
      this.#host.leaderSeen(source, epoch);
    }
    this.#seenEpoch = epoch;
    if (event.type === LEADER_CHANGED_EVENT) return;
    this.#seen = Math.max(this.#seen, event.sequence);
    const offered = this.#order.offer(event.sequence, event);
    if (offered === 'full') this.#tellGap();
    this.#drain();
  }

  #drain(): void {
    for (let next = this.#order.next(); next !== undefined; next = this.#order.next()) {
      const { key, value, operation, sequence } = next.item;
      try {
        this.#store(key, operation === 'delete' ? undefined : value, sequence);
      } catch (error) {
        this.#host.failed(error as Error, 'apply');
        break;
      }
      this.#order.pass();
      this.#freshAt = momentOf(this.#clock);
      this.#host.applied([{ key, operation, sequence }], sequence);
    }
    const stuck = this.#order.next() !== undefined || this.#order.missing() !== undefined;
    if (!stuck) {
      this.#gapTimer?.cancel();
      this.#gapTimer = undefined;
    } else this.#gapTimer ??= this.#awaitGap(this.#config.gapTimeoutMs);
  }

  /** What stays missing is told, and asked for. */
  #awaitGap(ms: number): Timer {
    return this.#clock.timer(ms, () => {
      this.#tellGap();
      const ask = async (): Promise<void> => {
        await this.catchUp();
        if (this.#order.missing() !== undefined) await this.catchUp(0);
      };
      ask()
        .catch((error: Error) => this.#host.failed(error, 'catch up'))
        .finally(() => {
          if (this.#gapTimer === undefined) return;
          this.#gapTimer = this.#awaitGap(Math.min(2 * ms, GAP_RETRY_MAX_MS));
        });
    });
  }

  #tellGap(): void {
    const missing = this.#order.missing();
    if (missing === undefined || missing.from === this.#gapTold) return;
    this.#gapTold = missing.from;
    this.#host.gap({ ...missing, reason: 'missing' });
  }

  /** A pipeline that answers later: what it has counts from the next question on. */
  #seeLater(events: PromiseLike<Iterable<unknown>>): void {
    if (this.#asking) return;
    this.#asking = true;
    Promise.resolve(events)
      .then((all) => {
        for (const event of all) this.#see(event);
      })
      .catch((error: Error) => this.#host.failed(error, 'ask for the lag'))
      .finally(() => {
        this.#asking = false;
      });
  }

  #see(raw: unknown): void {
    const event = parsePipelineEvent(raw, this.#config.namespace);
    if (event?.type === WRITE_EVENT) this.#seen = Math.max(this.#seen, event.sequence);
  }

  #store(key: string, value: unknown, sequence: number): void {
    const { stateStore } = this.#config;
    if (isDurableStateStore(stateStore)) stateStore.apply([{ key, value }], { sequence, epoch: this.#seenEpoch });
    else if (value === undefined) stateStore.delete(key);
    else stateStore.set(key, value);
  }
}
