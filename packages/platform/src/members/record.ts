/**
 * The membership record: what a node says of itself once a second, as JSON under its id in `{platform}_members`.
 * Wire format: fields may be added, never renamed or removed; readers ignore what they don't know.
 */
import type { NodeLoad } from './load.ts';

export type AppRole = 'starting' | 'standby' | 'promoting' | 'active' | 'demoting' | 'failed' | 'stopped';

/** One app as this node runs it. */
export interface MemberApp {
  readonly role: AppRole;
  /** Epoch of the term that this node is in; undefined while it follows. */
  readonly epoch?: number;
  /** True only on the active node, after its backend was found healthy, under a valid lease. */
  readonly serving: boolean;
  /** `host:port` of this node's proxy for the app. */
  readonly proxyAddress?: string;
  /** `epoch.txid` of the database. */
  readonly position?: string;
  /** Distance to the log's end; undefined = unknown. */
  readonly lagMs?: number;
  readonly lagTx?: number;
  /** Why it can't be active, or why its last term failed. */
  readonly problem?: string;
}

export interface MemberProcess {
  readonly host: string;
  readonly pid: number;
  /** With `machine` and `pid` this names one process for good (see core's identifyProcess). */
  readonly startTicks: number;
  /** Boot id and pid namespace; two processes with the same one can see each other's pids. */
  readonly machine: string;
}

export interface MemberRecord {
  readonly id: string;
  /** Random per process: two lives of one node id differ in it. */
  readonly incarnation: string;
  readonly address: string;
  /** `http://host:port` of /health, /ready, /status, /metrics. */
  readonly http?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly version: string;
  /** Unix ms. For people only. */
  readonly startedAt: number;
  readonly process: MemberProcess;
  readonly apps: Readonly<Record<string, MemberApp>>;
  readonly load: NodeLoad;
  readonly cordoned: boolean;
}

export function encodeRecord(record: MemberRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** The record, or undefined when the bytes are not one. Missing optional parts get their empty value. */
export function decodeRecord(bytes: Uint8Array): MemberRecord | undefined {
  let data: Partial<MemberRecord>;
  try {
    data = JSON.parse(new TextDecoder().decode(bytes)) as Partial<MemberRecord>;
  } catch {
    return undefined;
  }
  if (typeof data !== 'object' || data === null) return undefined;
  if (typeof data.id !== 'string' || typeof data.incarnation !== 'string') return undefined;
  return {
    ...data,
    id: data.id,
    incarnation: data.incarnation,
    address: data.address ?? '',
    labels: data.labels ?? {},
    version: data.version ?? '',
    startedAt: data.startedAt ?? 0,
    process: data.process ?? { host: '', pid: 0, startTicks: 0, machine: '' },
    apps: data.apps ?? {},
    load: data.load ?? { cpu: 0, memory: 0, disk: 0 },
    cordoned: data.cordoned ?? false,
  };
}
