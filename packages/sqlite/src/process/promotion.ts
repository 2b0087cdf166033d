/**
 * From standby to primary: to the log's end, then the log is taken with our epoch, then the file is checked and switched
 * to WAL mode in place. Until the last step nobody may write; a failure at any step leaves a file from which the caller
 * begins again as a standby.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import {
  backoffMs,
  type DatabaseEvent,
  type Env,
  type Epoch,
  formatPosition,
  hasCode,
  type Position,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { Primary, type PrimaryDeps } from '../primary/primary.ts';
import { encodeClaim } from '../primary/segment-builder.ts';
import type { Follower } from '../standby/follower.ts';
import type { ReplicaFile } from '../standby/replica-file.ts';
import type { WalCursor } from '../wal/reader.ts';
import { switchToWal } from './file-mode.ts';
import { inodeOf, readHeaderOf } from './local-file.ts';
import { knownLog } from './log-identity.ts';
import type { DatabaseSpec } from './protocol.ts';
import { writeState } from './state-file.ts';
import { wrapFileError } from './system-errors.ts';

/** Larger files are not read through at a promotion: it would keep the application waiting. */
const QUICK_CHECK_MAX_BYTES = 64 * 1024 * 1024;
const RETRY = { initialMs: 20, maxMs: 500 };

export interface PromotionContext {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly log: SegmentLog;
  readonly statePath: string;
  /** The machine's. */
  readonly boot: string;
  /** See PrimaryDeps. */
  isConnected?(): boolean;
  onEvent(event: DatabaseEvent): void;
  onChange(): void;
}

/** A file that follows the log: page 1 alone is enough to take the log, because the content is the log's own. */
export async function promoteReplica(
  context: PromotionContext,
  mode: { readonly file: ReplicaFile; readonly follower: Follower },
  epoch: Epoch,
  signal: AbortSignal,
): Promise<Primary> {
  const { env, statePath } = context;
  const { file, follower } = mode;
  const clock = stopwatch(env);
  context.onEvent({ type: 'promotion_started', epoch, position: file.position });
  const { base, claimed } = await catchUpAndClaim(context, mode, epoch, signal);
  await follower.stop();
  file.checkUntouched();
  const commit = file.sizeBytes / file.pageSize;
  verify(context, file.connection, file.sizeBytes);
  await hearAbort(env, signal);
  file.flush();
  const inode = inodeOf(context.spec.path);
  const { node } = context.spec;
  const { counter } = file;
  writeState(
    statePath,
    {
      role: 'primary',
      claimed,
      base,
      node,
      inode,
      counter,
      stored: true,
      boot: context.boot,
      ...knownLog(context.log),
    },
    { flush: true },
  );
  file.close();
  await switchToWal(modeOptions(context, signal));
  const start = { position: claimed, cursor: undefined, restartable: true, commit, claim: 'done' } as const;
  const primary = await Primary.open(primaryDeps(context, epoch), start, signal);
  context.onEvent({ type: 'promotion_completed', position: claimed, ms: clock() });
  return primary;
}

/**
 * A file of our own that begins the log or is ahead of it: it goes into the log as it is. With a cursor, what the WAL has
 * behind it; without, the whole of it. Where there is no file one is made.
 */
export async function promoteLocal(
  context: PromotionContext,
  mode: { readonly position: Position; readonly cursor: WalCursor | undefined; stop(): void },
  epoch: Epoch,
  signal: AbortSignal,
): Promise<Primary> {
  const { spec, env, log, statePath } = context;
  const clock = stopwatch(env);
  context.onEvent({ type: 'promotion_started', epoch, position: mode.position });
  const end = await log.end({ signal, known: mode.position.txid });
  if ((end?.position.txid ?? 0) !== mode.position.txid || (end?.position.epoch ?? 0) >= epoch)
    throw sqliteErrors.create('SQLITE_EPOCH_STALE', { epoch, claimed: end?.position.epoch ?? 0 });
  mode.stop();
  const base = mode.position;
  const claimed = { epoch, txid: base.txid + 1 };
  const counter = readHeaderOf(spec.path)?.counter ?? 0;
  // An empty file is a database without content; it is there so that its inode can be named.
  closeSync(openSync(spec.path, 'a'));
  const inode = inodeOf(spec.path);
  const { node } = spec;
  const state = { role: 'primary', claimed, base, node, inode, counter, boot: context.boot } as const;
  writeState(statePath, { ...state, ...knownLog(log) }, { flush: true });
  const commit = mode.cursor === undefined ? undefined : await sizeAt(log, base, signal);
  // A WAL that proves something must not be opened and closed before it is pinned: SQLite would empty and remove it.
  if (commit === undefined) {
    await switchToWal(modeOptions(context, signal));
    verifyFile(context);
  }
  const claimBy = commit === undefined ? 'image' : 'frames';
  const imageSoon = commit === undefined && (await hasOtherPages(context, base, signal));
  const cursor = commit === undefined ? undefined : mode.cursor;
  const taken = stopwatch(env);
  const start = {
    position: base,
    cursor,
    restartable: cursor === undefined,
    commit: commit ?? 0,
    claim: claimBy,
    imageSoon,
  } as const;
  const primary = await Primary.open(primaryDeps(context, epoch), start, signal);
  context.onEvent({ type: 'epoch_claimed', position: primary.position, ms: taken() });
  try {
    writeState(statePath, { ...state, ...knownLog(log), stored: true }, { flush: true });
    if (commit !== undefined) verifyFile(context);
  } catch (error) {
    await primary.close();
    throw error;
  }
  context.onEvent({ type: 'promotion_completed', position: primary.position, ms: clock() });
  return primary;
}

/** A database without a single table: there is nothing in it to keep. Also where there is no file. */
export function isEmptyDatabase(path: string): boolean {
  if (readHeaderOf(path) === undefined) return true;
  try {
    const connection = new DatabaseSync(path, { timeout: 1000 });
    try {
      return Number(connection.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n) === 0;
    } finally {
      connection.close();
    }
  } catch (error) {
    const wrapped = wrapFileError(error, path);
    // Something is in it, though nobody can tell what.
    if (hasCode(wrapped, 'SQLITE_CORRUPT')) return false;
    throw wrapped;
  }
}

async function catchUp(
  context: PromotionContext,
  { file, follower }: { readonly file: ReplicaFile; readonly follower: Follower },
  epoch: Epoch,
  signal: AbortSignal,
): Promise<void> {
  const { log, env } = context;
  const clock = stopwatch(env);
  const before = follower.applied;
  for (;;) {
    const end = await log.end({ signal, known: file.position.txid });
    if (end === undefined) throw sqliteErrors.create('SQLITE_LOG_EMPTY', { bucket: log.bucket });
    if (end.position.epoch >= epoch)
      throw sqliteErrors.create('SQLITE_EPOCH_STALE', { epoch, claimed: end.position.epoch });
    requireLineage(context, file.position, end.position);
    if (file.position.txid >= end.position.txid) break;
    await follower.waitFor(end.position.txid, signal);
  }
  const applied = follower.applied - before;
  context.onEvent({ type: 'wal_catchup_completed', position: file.position, applied, ms: clock() });
}

/** A log that ends before what it gave us, or differs from it, has been replaced: it must not be gone on with from here. */
function requireLineage({ spec }: PromotionContext, at: Position, end: Position): void {
  if (at.txid < end.txid || (at.txid === end.txid && at.epoch === end.epoch)) return;
  const [position, logEnd] = [formatPosition(at), formatPosition(end)];
  throw sqliteErrors.create('SQLITE_LOG_BEHIND', { path: spec.path, position, end: logEnd });
}

/**
 * An abort is a message that arrives: work that kept this thread busy, and a process that was stopped, must read it
 * before they believe that there was none. One turn may lie between two looks at what has arrived, two don't.
 */
export async function hearAbort(env: Env, signal: AbortSignal): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await env.clock.sleep(1);
  signal.throwIfAborted();
}

/** The former primary may still be shipping: whoever was faster than our claim is followed, and we try again behind. */
async function catchUpAndClaim(
  context: PromotionContext,
  mode: { readonly file: ReplicaFile; readonly follower: Follower },
  epoch: Epoch,
  signal: AbortSignal,
): Promise<{ base: Position; claimed: Position }> {
  const { file } = mode;
  for (;;) {
    await catchUp(context, mode, epoch, signal);
    const taken = stopwatch(context.env);
    // What a program has written into the copy is not in the log: the claim would make it everybody's truth.
    file.checkUntouched();
    // Read without a pause in between: an apply comes whole before or after.
    const base = file.position;
    const claimed = { epoch, txid: base.txid + 1 };
    const commit = file.sizeBytes / file.pageSize;
    const { pageEncoding } = context.spec.options;
    const bytes = encodeClaim(claimed.txid, context.env.clock.wall(), file.readPage(1), commit, pageEncoding);
    try {
      await claim(context, claimed, bytes, signal);
    } catch (error) {
      if (hasCode(error, 'SQLITE_FENCED') && Number(error.fields.takenEpoch) < epoch) continue;
      throw error;
    }
    context.onEvent({ type: 'epoch_claimed', position: claimed, ms: taken() });
    return { base, claimed };
  }
}

/** The very same bytes until the outcome is known. */
async function claim(
  context: PromotionContext,
  claimed: Position,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { log, env, spec } = context;
  const order = { txid: claimed.txid, epoch: claimed.epoch, node: spec.node, kind: 'claim', bytes } as const;
  for (let attempt = 0; ; attempt++) {
    try {
      await log.append(order, { signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!hasCode(error, 'SQLITE_APPEND_UNKNOWN', 'JETSTREAM_UNAVAILABLE', 'DEADLINE_EXCEEDED')) throw error;
      await env.clock.sleep(backoffMs(attempt, RETRY, env.random), { signal });
    }
  }
}

function verify(context: PromotionContext, connection: DatabaseSync, sizeBytes: number): void {
  const { spec, env, onEvent } = context;
  const clock = stopwatch(env);
  const wanted = spec.options.verify;
  let method: string = wanted;
  if (wanted === 'quick' && sizeBytes > QUICK_CHECK_MAX_BYTES) method = 'header';
  try {
    if (method === 'quick' || method === 'full') checkContent(connection, method, spec.path);
    else if (method === 'header') connection.prepare('SELECT count(*) FROM sqlite_schema').get();
  } catch (error) {
    throw wrapFileError(error, spec.path);
  }
  onEvent({ type: 'database_verified', method, ms: clock() });
}

/** On a connection of its own: where the WAL is to stay, only while it is pinned. */
function verifyFile(context: PromotionContext): void {
  const connection = new DatabaseSync(context.spec.path, { timeout: context.spec.options.busyTimeoutMs });
  try {
    const pages = Number(connection.prepare('PRAGMA page_count').get()?.page_count);
    const pageSize = Number(connection.prepare('PRAGMA page_size').get()?.page_size);
    verify(context, connection, pages * pageSize);
  } finally {
    connection.close();
  }
}

function checkContent(connection: DatabaseSync, method: 'quick' | 'full', path: string): void {
  const pragma = method === 'quick' ? 'quick_check' : 'integrity_check';
  const problem = String(Object.values(connection.prepare(`PRAGMA ${pragma}(1)`).get() ?? {})[0]);
  if (problem !== 'ok') throw sqliteErrors.create('SQLITE_CORRUPT', { path, problem });
}

/** Pages of the database at a position; undefined when that entry is gone or too large to look at. */
async function sizeAt(log: SegmentLog, position: Position, signal: AbortSignal): Promise<number | undefined> {
  if (position.txid === 0) return undefined;
  const segment = await log.read(position.txid, { signal, maxBytes: QUICK_CHECK_MAX_BYTES }).catch(() => undefined);
  return segment?.ltx.header.commit;
}

/**
 * Whether the pages are of another size than the log's at `base`. The claim, a full image, is where restores begin then;
 * Litestream's begin with one of the level of images alone.
 */
async function hasOtherPages(
  { spec, log, onEvent }: PromotionContext,
  base: Position,
  signal: AbortSignal,
): Promise<boolean> {
  const size = readHeaderOf(spec.path)?.pageSize;
  const entry = base.txid === 0 ? undefined : await log.entry(base.txid, { signal });
  const opened = entry && (await log.open(entry.name, { signal }).catch(() => undefined));
  if (opened === undefined || size === undefined) return false;
  const before = opened.stream.header.pageSize;
  await opened.stream.close();
  if (before === size) return false;
  const message = `the pages of ${spec.path} are of ${size} bytes now, those in the log of ${before}: it goes on with a full image, and standbys are made anew from it; what it had up to transaction ${base.txid} stays as it is`;
  onEvent({ type: 'warning', code: 'PAGE_SIZE_CHANGED', message });
  return true;
}

function primaryDeps(context: PromotionContext, epoch: Epoch): PrimaryDeps {
  const { spec, env, log, isConnected } = context;
  return {
    path: spec.path,
    ...(isConnected && { isConnected }),
    node: spec.node,
    epoch,
    env,
    log,
    options: spec.options,
    onEvent: (event) => context.onEvent(event),
    onChange: () => context.onChange(),
  };
}

function modeOptions({ spec, env }: PromotionContext, signal: AbortSignal) {
  const { busyTimeoutMs, lockTimeoutMs } = spec.options;
  return { path: spec.path, env, busyTimeoutMs, lockTimeoutMs, signal };
}

function stopwatch(env: Env): () => number {
  const startedAt = env.clock.monotonic();
  return () => env.clock.monotonic() - startedAt;
}
