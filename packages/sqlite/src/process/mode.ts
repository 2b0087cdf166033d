/** What the database file is to this process at the moment, and what can be said about it without asking anybody. */
import { type DatabaseLag, type Env, messageOf, type Position } from '@canopy/core';
import type { SegmentLog } from '../log/segment-log.ts';
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

const NONE: DatabaseLag = { tx: 0, ms: 0, bytes: 0 };
const UNKNOWN: DatabaseLag = { tx: undefined, ms: undefined, bytes: undefined };

/**
 * Of a primary: what the log does not have yet; how much that is shows only when it was read. Of others it is unknown while
 * the connection is down, where the log may have moved on, and while the file is being looked at.
 */
export function lagOf(mode: Mode, known: boolean): DatabaseLag {
  if (mode.kind === 'primary') return mode.primary.isShipped ? NONE : UNKNOWN;
  if (!known || mode.kind === 'none') return UNKNOWN;
  return mode.kind === 'replica' ? mode.follower.lag() : NONE;
}

export function problemOf(mode: Mode): string | undefined {
  if (mode.kind === 'replica') return mode.follower.problem;
  return mode.kind === 'primary' ? mode.primary.problem : undefined;
}

/** `ended` tells that the log was continued by somebody else (`moved`), or why that can't be seen any more. */
export function waitLocal(
  log: SegmentLog,
  position: Position,
  cursor: WalCursor | undefined,
): { mode: Mode; ended: Promise<'moved' | 'stopped' | Error> } {
  const controller = new AbortController();
  const { signal } = controller;
  const watch = async (): Promise<'moved' | 'stopped'> => {
    for await (const _ of log.follow(position.txid, { signal })) return signal.aborted ? 'stopped' : 'moved';
    return 'stopped';
  };
  const ended = watch().catch((error: Error) => (signal.aborted ? 'stopped' : error));
  return { mode: { kind: 'local', position, cursor, stop: () => controller.abort() }, ended };
}

/** Nothing of it is open afterwards. */
export async function closeMode(mode: Mode): Promise<void> {
  if (mode.kind === 'local') mode.stop();
  if (mode.kind === 'primary') await mode.primary.close();
  if (mode.kind !== 'replica') return;
  await mode.follower.stop();
  mode.file.close();
}

/** Before it is closed for good: what a standby has applied is on the disk, if the disk takes it. */
export async function flushMode(mode: Mode, env: Env): Promise<void> {
  if (mode.kind !== 'replica') return;
  await mode.follower.stop();
  try {
    mode.file.flush();
  } catch (error) {
    env.log.warn('standby_not_flushed', { reason: messageOf(error) });
  }
}

/** Ships or flushes what is there, within the bound, and closes nothing. */
export async function drainMode(mode: Mode, env: Env, timeoutMs: number): Promise<void> {
  if (mode.kind === 'primary') {
    const controller = new AbortController();
    const timer = env.clock.timer(timeoutMs, () => controller.abort(new DOMException('too late', 'AbortError')));
    await mode.primary.sync(controller.signal).catch(() => {});
    timer.cancel();
  } else if (mode.kind === 'replica') {
    await mode.follower.stop();
    mode.file.flush();
  }
}
