/** What the database file is to this process at the moment, and what can be said about it without asking anybody. */
import type { DatabaseLag, Position } from '@canopy/core';
import type { Primary } from '../primary/primary.ts';
import type { Follower } from '../standby/follower.ts';
import type { ReplicaFile } from '../standby/replica-file.ts';
import type { WalCursor } from '../wal/reader.ts';

export type Mode =
  /** Not open. */
  | { readonly kind: 'none' }
  | { readonly kind: 'replica'; readonly file: ReplicaFile; readonly follower: Follower }
  /** Our own file is the truth from `position` on; the log may be continued from it, but nothing may be applied to it. */
  | { readonly kind: 'local'; readonly position: Position; readonly cursor: WalCursor | undefined; stop(): void }
  | { readonly kind: 'primary'; readonly primary: Primary };

export function positionOf(mode: Mode): Position | undefined {
  if (mode.kind === 'replica') return mode.file.position;
  if (mode.kind === 'primary') return mode.primary.position;
  return mode.kind === 'local' ? mode.position : undefined;
}

/** The log's end as last seen. */
export function logEndOf(mode: Mode): Position | undefined {
  return mode.kind === 'replica' ? mode.follower.logEnd : positionOf(mode);
}

export function sizeOf(mode: Mode): number | undefined {
  if (mode.kind === 'replica') return mode.file.sizeBytes;
  return mode.kind === 'primary' ? mode.primary.sizeBytes : undefined;
}

/** Unknown while the connection is down: the log may have moved on. */
export function lagOf(mode: Mode, connected: boolean): DatabaseLag {
  if (mode.kind === 'primary') return { tx: 0, ms: 0, bytes: 0 };
  if (!connected || mode.kind === 'none') return { tx: undefined, ms: undefined, bytes: undefined };
  return mode.kind === 'replica' ? mode.follower.lag() : { tx: 0, ms: 0, bytes: 0 };
}

export function problemOf(mode: Mode): string | undefined {
  if (mode.kind === 'replica') return mode.follower.problem;
  return mode.kind === 'primary' ? mode.primary.problem : undefined;
}
