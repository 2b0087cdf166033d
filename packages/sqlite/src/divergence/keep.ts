/**
 * Keeps what a node has committed and the log has not: the database file goes into a directory of its own beside the
 * path, with a readable list of the rows that differ and a text that says what it is. Invariant: at no moment is the
 * file anywhere but at its path or inside a directory that this module finds again after a crash.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Env, formatPosition, formatTxid, hasCode, messageOf, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { changeMode } from '../process/file-mode.ts';
import { flushDirectory } from '../process/state-file.ts';
import { isBusy } from '../process/system-errors.ts';
import { restore } from '../restore/restore.ts';
import { removeDatabase } from '../standby/bootstrap.ts';
import { type ChangesSummary, listChanges } from './changes.ts';
import { CHANGES_FILE, type DivergenceFacts, SUMMARY_FILE } from './facts.ts';
import { comparePages } from './page-compare.ts';

/** The epoch of entries that another program wrote. */
const FOREIGN = 0;
/** The log has the fork no more, or can't be read there. */
const FORK_GONE = [
  'SQLITE_LOG_EMPTY',
  'SQLITE_LOG_GAP',
  'SQLITE_TARGET_UNREACHABLE',
  'SQLITE_LTX_INVALID',
  'SQLITE_INTEGRITY_FAILED',
  'BLOB_CORRUPT',
] as const;
/** Of the list, written at a time. */
const WRITE_CHARS = 64 * 1024;
const SIDE_FILES = ['-wal', '-shm', '-journal'] as const;

export interface DivergenceOptions {
  readonly path: string;
  /** Canopy's own directory beside the database. */
  readonly directory: string;
  readonly node: string;
  /** The last position that the file and the log are believed to share; txid 0: none is known. */
  readonly fork: Position;
  readonly log: SegmentLog;
  readonly env: Env;
  readonly lockTimeoutMs: number;
  /** Leave a file that diverged where it is: the answer is undefined then. */
  readonly refuse?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface KeptDivergence {
  readonly directory: string;
  /** Rows that differ; undefined when they could not be compared. */
  readonly rows: number | undefined;
}

/** The file holds exactly what the log holds at a position. */
export interface NoDivergence {
  readonly same: Position;
}

/**
 * Moves the database at `path` aside unless it holds exactly what the log holds at the fork, or at its end where another
 * program (Litestream) wrote that end from this very file: then it is still there, as a closed rollback-mode file. Nobody
 * in this process may have the database open.
 */
export async function keepDivergence(options: DivergenceOptions): Promise<KeptDivergence | NoDivergence | undefined> {
  const { directory } = options;
  const readable = await settleFile(options);
  const scratch = join(directory, 'fork.db');
  const compared = await restoreFork(options, scratch);
  try {
    const same = readable ? await sameAs(options, compared.position, scratch) : undefined;
    if (same !== undefined) return { same };
    if (options.refuse) return undefined;
    return await keep(
      options,
      readable ? compared : { position: undefined, problem: 'the kept file cannot be read' },
      scratch,
    );
  } finally {
    removeDatabase(scratch);
  }
}

/** The position at which the log has what the file has. `restored` is what the scratch file holds. */
async function sameAs(
  options: DivergenceOptions,
  restored: Position | undefined,
  scratch: string,
): Promise<Position | undefined> {
  const { path, fork, log, env, directory, signal } = options;
  if (restored?.txid === fork.txid && comparePages(path, scratch).same) return fork;
  const end = (await log.end({ signal }))?.position;
  // An end that none of ours wrote may come from this very file, past the fork that we know of.
  if (end === undefined || end.epoch !== FOREIGN || end.txid <= fork.txid) return undefined;
  const dest = join(directory, 'end.db');
  try {
    const { position } = await restore({ log, dest, overwrite: true, env, signal });
    return comparePages(path, dest).same ? position : undefined;
  } catch (error) {
    signal?.throwIfAborted();
    env.log.warn('log_end_not_compared', { reason: messageOf(error) });
    return undefined;
  } finally {
    removeDatabase(dest);
  }
}

/** After a crash between the two renames of `keep`. */
export async function finishInterrupted(path: string, directory: string): Promise<void> {
  const temporary = join(directory, 'divergent');
  if (!existsSync(join(temporary, 'database.sqlite'))) {
    rmSync(temporary, { recursive: true, force: true });
    return;
  }
  await flushFiles(temporary);
  renameSync(temporary, freeName(`${path}.divergent-interrupted`));
  flushDirectory(dirname(path));
}

/** Directories kept beside the database, oldest first by their names. */
export function listDivergences(path: string): string[] {
  const prefix = `${basename(path)}.divergent-`;
  const parent = dirname(path);
  if (!existsSync(parent)) return [];
  const found = readdirSync(parent).filter((name) => name.startsWith(prefix));
  return found.sort().map((name) => join(parent, name));
}

/**
 * Everything into the one file, so that it can be compared and moved. False: SQLite can't read it. Throws
 * SQLITE_DATABASE_BUSY while a program has it open: a file that is being written must not be moved.
 */
async function settleFile({ path, env, lockTimeoutMs, signal }: DivergenceOptions): Promise<boolean> {
  const deadline = env.clock.monotonic() + lockTimeoutMs;
  for (;;) {
    try {
      const connection = new DatabaseSync(path, { timeout: 200 });
      try {
        return changeMode(connection, 'DELETE') === 'delete';
      } finally {
        connection.close();
      }
    } catch (error) {
      if (!isBusy(error)) return false;
      if (env.clock.monotonic() >= deadline)
        throw sqliteErrors.create('SQLITE_DATABASE_BUSY', { path, timeoutMs: lockTimeoutMs });
      await env.clock.sleep(50, { signal });
    }
  }
}

/** The log's state at the fork in a scratch file; at its end where the fork can't be had any more. */
async function restoreFork(
  options: DivergenceOptions,
  dest: string,
): Promise<{ position: Position | undefined; problem: string | undefined }> {
  const { log, env, fork, signal } = options;
  let problem: string | undefined;
  for (const target of fork.txid > 0 ? [{ txid: fork.txid }, undefined] : [undefined]) {
    try {
      const { position } = await restore({ log, dest, overwrite: true, env, signal, ...(target ? { target } : {}) });
      return { position, problem };
    } catch (error) {
      signal?.throwIfAborted();
      // What may pass is no reason to take the file for another history: it is settled again.
      if (!hasCode(error, ...FORK_GONE)) throw error;
      problem = messageOf(error);
    }
  }
  return { position: undefined, problem };
}

async function keep(
  options: DivergenceOptions,
  compared: { position: Position | undefined; problem: string | undefined },
  scratch: string,
): Promise<KeptDivergence> {
  const { path, directory, fork } = options;
  const temporary = join(directory, 'divergent');
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { mode: 0o700 });
  const changes = writeChanges(path, compared, scratch, join(temporary, CHANGES_FILE));
  writeFileSync(join(temporary, SUMMARY_FILE), JSON.stringify(factsOf(options, compared.position, changes)));
  writeFileSync(join(temporary, 'README.txt'), explain(options, compared, changes));
  for (const suffix of SIDE_FILES)
    if (existsSync(`${path}${suffix}`)) renameSync(`${path}${suffix}`, join(temporary, `database.sqlite${suffix}`));
  renameSync(path, join(temporary, 'database.sqlite'));
  await flushFiles(temporary);
  const kept = freeName(`${path}.divergent-${fork.epoch}-${formatTxid(fork.txid)}`);
  renameSync(temporary, kept);
  flushDirectory(dirname(path));
  return { directory: kept, rows: changes?.rows };
}

/**
 * What is kept is the only copy there is. A standby applies without flushing, because the log has it all; a file that
 * leaves the log's care has to be on the disk before another one takes its place.
 */
async function flushFiles(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    const file = await open(join(directory, name), 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  flushDirectory(directory);
}

function writeChanges(
  path: string,
  compared: { position: Position | undefined; problem: string | undefined },
  scratch: string,
  target: string,
): ChangesSummary | undefined {
  const fd = openSync(target, 'w', 0o600);
  let pending = '';
  const flush = (): void => {
    const bytes = Buffer.from(pending);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    pending = '';
  };
  const write = (line: string): void => {
    pending += `${line}\n`;
    if (pending.length >= WRITE_CHARS) flush();
  };
  try {
    if (compared.position === undefined) {
      write(JSON.stringify({ problem: `not compared: ${compared.problem}` }));
      return undefined;
    }
    return listChanges(path, scratch, write);
  } catch (error) {
    write(JSON.stringify({ problem: `not compared: ${messageOf(error)}` }));
    return undefined;
  } finally {
    try {
      flush();
    } finally {
      closeSync(fd);
    }
  }
}

function factsOf(
  { node, fork, env }: DivergenceOptions,
  position: Position | undefined,
  changes: ChangesSummary | undefined,
): DivergenceFacts {
  return {
    keptAt: env.clock.wall(),
    node,
    fork: fork.txid === 0 ? undefined : formatPosition(fork),
    comparedWith: position && formatPosition(position),
    rows: changes?.rows,
    tables: changes?.tables,
  };
}

function explain(
  { node, fork, path, env }: DivergenceOptions,
  { position }: { position: Position | undefined },
  changes: ChangesSummary | undefined,
): string {
  const shared =
    fork.txid === 0
      ? 'This file was here before the node joined; it has no known position in the log.'
      : `Up to ${formatPosition(fork)} it was the same as the log.`;
  const against =
    position === undefined ? 'nothing (the log could not be read)' : `the log at ${formatPosition(position)}`;
  return `Kept on ${new Date(env.clock.wall()).toISOString()} by node ${node}.

database.sqlite is the database that lay at ${path}. It holds changes that are not in the
replicated log, because another node became primary before they were shipped, or because
something other than the primary wrote to the file. ${shared}
The cluster goes on without these changes; nothing here is used by it any more.

changes.jsonl lists the rows that differ, compared with ${against}: one JSON object a line,
"insert", "update" (row: what this file says, before: what the log says) or "delete". Values that
plain JSON would change are objects: {"int"} a large whole number, {"real"} a number stored as a real,
{"hex"} bytes, {"textHex"} a text that is not valid. A line with "problem" says what is not listed row by row, and why.
Rows that differ: ${changes?.rows ?? 'unknown'}.

To bring changes back, write them to the live database by the means of the application.
When nothing here is needed any more, delete this directory.
`;
}

function freeName(wanted: string): string {
  let name = wanted;
  for (let i = 2; existsSync(name); i++) name = `${wanted}-${i}`;
  return name;
}
