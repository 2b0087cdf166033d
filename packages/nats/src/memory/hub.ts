/**
 * A NATS system in memory: what the sessions of one simulated cluster share. Time is the given clock's, so it runs
 * under a virtual one, and a fault hook decides for every call and every delivery whether it is late, lost or refused.
 */
import { type Clock, type Env, type Random, seededRandom, systemClock, systemEnv } from '@canopy/core';
import type { BlobInfo } from '../blobs/port.ts';
import type { KvBucketOptions, KvEntry } from '../kv/port.ts';
import { MemorySession } from './session.ts';
import type { StreamTable } from './stream-table.ts';
import { Switchboard } from './switchboard.ts';
import type { Table } from './table.ts';

/** One thing that a session is about to do; `deliver` is an event of a watch on its way to the session. */
export interface MemoryCall {
  readonly session: string;
  readonly port: 'kv' | 'blobs' | 'bus' | 'streams';
  readonly operation: string;
  readonly bucket?: string;
  /** Key, object name, subject, or consumer. */
  readonly key?: string;
}

export interface MemoryFault {
  /** The request arrives this much later. For `deliver`: the event does; events stay in order. */
  readonly delayMs?: number;
  /** The answer arrives this much later. */
  readonly answerDelayMs?: number;
  /**
   * `fail`: JETSTREAM_UNAVAILABLE at once, not carried out. `request-lost`: not carried out, and DEADLINE_EXCEEDED at
   * the deadline. `answer-lost`: carried out, and DEADLINE_EXCEEDED at the deadline.
   */
  readonly outcome?: 'fail' | 'request-lost' | 'answer-lost';
}

export interface MemoryNatsOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Asked before every call and delivery. May be replaced at any time through `hub.fault`. */
  readonly fault?: (call: MemoryCall) => MemoryFault | undefined;
  /** What sessions report; the twin itself keeps one copy of everything. Default 1. */
  readonly clusterSize?: number;
}

export interface MemoryKvBucket {
  readonly options: KvBucketOptions;
  readonly table: Table<KvEntry>;
}

/** An object of the twin; what watchers and lists see of it is `info`. */
export interface StoredBlob {
  readonly revision: number;
  readonly info: BlobInfo;
  readonly bytes: Uint8Array;
}

export class MemoryNats {
  readonly clock: Clock;
  readonly clusterSize: number;
  fault: ((call: MemoryCall) => MemoryFault | undefined) | undefined;
  /** @internal */
  readonly kvBuckets = new Map<string, MemoryKvBucket>();
  /** @internal */
  readonly blobBuckets = new Map<string, { table: Table<StoredBlob>; maxBytes: number | undefined }>();
  /** @internal */
  readonly streams = new Map<string, StreamTable>();
  /** @internal */
  readonly switchboard: Switchboard;
  #sessions = 0;

  constructor(options: MemoryNatsOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.fault = options.fault;
    this.clusterSize = options.clusterSize ?? 1;
    this.switchboard = new Switchboard(options.random ?? seededRandom('memory-nats'));
  }

  /** A session of its own, connected. `name` is what the fault hook sees; default `session-<n>`. */
  session(options: { name?: string; env?: Env } = {}): MemorySession {
    this.#sessions += 1;
    const name = options.name ?? `session-${this.#sessions}`;
    return new MemorySession(this, name, options.env ?? systemEnv({ clock: this.clock }));
  }

  /** Removes a bucket with everything in it, as an operator's mistake would. */
  dropKv(bucket: string): void {
    this.kvBuckets.delete(bucket);
  }

  dropBlobs(bucket: string): void {
    this.blobBuckets.delete(bucket);
  }

  dropStream(name: string): void {
    const table = this.streams.get(name);
    this.streams.delete(name);
    table?.changed();
  }
}
