/**
 * The control protocol: JSON requests to one node over NATS. Subjects `{platform}._.rpc.{node}.{method}` and
 * `{platform}.{app}.rpc.{node}.{method}`. A reply is `{"ok":true,"data":…}` or `{"ok":false,"error":{code,message,…}}`.
 * Wire contract: methods and fields may be added, never renamed or removed.
 */
import { CanopyError, type DatabaseLag, type ErrorFields, hasCode } from '@canopy/core';
import type { AppStatus } from '../apps/status.ts';
import type { TimelineEntry } from '../apps/timeline.ts';
import type { Snapshot } from '../database/app-snapshots.ts';
import { platformErrors } from '../errors.ts';
import type { MemberHealth } from '../members/machine.ts';
import type { MemberRecord } from '../members/record.ts';

/** A member as one observer sees it. */
export interface MemberView extends MemberRecord {
  readonly health: MemberHealth;
  /** Ms since the observer last saw the record change. */
  readonly ageMs: number;
}

export interface NodeStatus {
  readonly platform: string;
  readonly node: string;
  readonly version: string;
  readonly state: string;
  readonly address: string;
  readonly http: string | undefined;
  readonly startedAt: number;
  readonly incarnation: string;
  readonly pid: number;
  readonly wardenPid: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly nats: {
    readonly connected: boolean;
    readonly server: string | undefined;
    readonly serverVersion: string | undefined;
    readonly clusterSize: number;
    readonly reconnects: number;
  };
  readonly members: readonly MemberView[];
  readonly apps: Readonly<Record<string, AppStatus>>;
}

/** Methods of a node, by name: what is asked and what is answered. */
export interface NodeMethods {
  status: { request: Record<string, never>; reply: NodeStatus };
  members: { request: Record<string, never>; reply: readonly MemberView[] };
}

/** Methods of an app's instance on a node. */
export interface AppMethods {
  status: { request: Record<string, never>; reply: AppStatus };
  /** Resolves when the lease has been given up. */
  stepdown: { request: Record<string, never>; reply: SteppedDown };
  handoff: { request: { to: string }; reply: SteppedDown };
  db: { request: Record<string, never>; reply: AppStatus['database'] | null };
  timeline: { request: Record<string, never>; reply: readonly TimelineEntry[] };
  /** The primary only: what is committed there is as durable as asked for. */
  db_sync: { request: { applied?: number; timeoutMs: number }; reply: DatabaseSynced };
  wal: { request: Record<string, never>; reply: WalView };
  /** The primary only: of everything committed at the request. */
  snapshot_create: { request: { name?: string }; reply: Snapshot };
  snapshot_list: { request: Record<string, never>; reply: readonly Snapshot[] };
  /** The primary only. */
  snapshot_delete: { request: { id: string }; reply: { id: string } };
  /** What this very node has kept aside. */
  divergence_list: { request: Record<string, never>; reply: readonly KeptDivergence[] };
  /** A piece of the list of changes; `next` is the offset of the one after it. */
  divergence_show: { request: { id: string; offset?: number }; reply: DivergencePiece };
  divergence_delete: { request: { id: string }; reply: { id: string; directory: string; freedBytes: number } };
}

export interface DatabaseSynced {
  readonly node: string;
  /** `epoch.txid`: everything up to it. */
  readonly position: string;
  readonly ms: number;
}

export interface WalView {
  readonly node: string;
  readonly position: string;
  readonly lag: DatabaseLag;
  readonly stats: unknown;
}

/** Commits of one node that never reached the log, as that node describes them. */
export interface KeptDivergence {
  readonly id: string;
  readonly directory: string;
  readonly sizeBytes: number;
  /** Unix ms. */
  readonly keptAt: number;
  /** `epoch.txid` up to which it was the same as the log. */
  readonly fork?: string | undefined;
  /** Rows that differ; undefined when that is not known. */
  readonly rows?: number | undefined;
  /** Those in which something differs. How many rows of which kind: not of divergences that an earlier version kept. */
  readonly tables?:
    | readonly {
        readonly table: string;
        readonly rows: number;
        readonly inserted?: number;
        readonly updated?: number;
        readonly deleted?: number;
        readonly problem?: string;
      }[]
    | undefined;
}

export interface DivergencePiece {
  readonly changes: readonly {
    readonly table?: string;
    readonly change?: 'insert' | 'update' | 'delete' | 'create';
    readonly key?: readonly string[];
    readonly rowid?: unknown;
    readonly row?: Readonly<Record<string, unknown>>;
    readonly before?: Readonly<Record<string, unknown>>;
    readonly problem?: string;
    readonly sql?: string;
    readonly tooLongBytes?: number;
  }[];
  readonly next?: number | undefined;
}

export interface SteppedDown {
  readonly app: string;
  /** The node that was active. */
  readonly from: string;
  readonly epoch: number | undefined;
  /** How long it took until the lease was free. */
  readonly ms: number;
}

export type ControlReply =
  | { readonly ok: true; readonly data: unknown }
  | { readonly ok: false; readonly error: ReturnType<CanopyError['toJSON']> };

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Never has a stack; an error that is none of ours becomes CONTROL_FAILED. */
export function errorReply(error: unknown): ControlReply {
  const known = CanopyError.is(error)
    ? error
    : platformErrors.create('CONTROL_FAILED', { problem: error instanceof Error ? error.message : String(error) });
  return { ok: false, error: known.toJSON() };
}

/** The data of a reply; throws the error that it carries, or CONTROL_REPLY_INVALID. */
export function readReply(bytes: Uint8Array, about: { node: string; method: string }): unknown {
  let reply: { ok?: unknown; data?: unknown; error?: unknown };
  try {
    reply = JSON.parse(new TextDecoder().decode(bytes)) as typeof reply;
  } catch (error) {
    throw platformErrors.create('CONTROL_REPLY_INVALID', about, error);
  }
  if (reply?.ok === true) return reply.data;
  const error = reply?.error as { code?: unknown; message?: unknown } | undefined;
  if (typeof error?.code !== 'string' || typeof error.message !== 'string')
    throw platformErrors.create('CONTROL_REPLY_INVALID', about);
  throw CanopyError.fromJSON(error as { code: string; message: string; fields?: ErrorFields });
}

/** An error of the transport as one of ours: nobody there, or no answer. */
export function unreachable(node: string, error: unknown): unknown {
  if (hasCode(error, 'BUS_NO_RESPONDERS', 'DEADLINE_EXCEEDED'))
    return platformErrors.create('NODE_UNREACHABLE', { node, reason: error.code }, error);
  return error;
}
