/**
 * `POST /apps/{app}/sync`: for programs in any language, the answer to "is what I have just committed safe?". Query:
 * `applied=N` for the files of so many standbys as well, `timeout=5s`. It answers 200 once everything that was committed
 * before the request is in the log; any other answer promises nothing, and the commit may still become safe.
 */
import { CanopyError, checkName, type Duration, hasCode, parseDuration } from '@canopy/core';
import type { DatabaseSynced } from '../control/protocol.ts';
import { platformErrors } from '../errors.ts';

const TIMEOUT_MS = 10_000;
const TIMEOUT_MAX_MS = 600_000;
const PATH = /^\/apps\/([^/]+)\/sync$/;

export interface SyncCall {
  readonly app: string;
  readonly applied?: number;
  readonly timeoutMs: number;
}

export interface SyncAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export function isSyncPath(path: string): boolean {
  return PATH.test(path);
}

/** Never rejects. */
export async function answerSync(url: string, sync: (call: SyncCall) => Promise<DatabaseSynced>): Promise<SyncAnswer> {
  try {
    const call = parseCall(url);
    const { node, position, ms } = await sync(call);
    const body = { app: call.app, node, position, ms, applied: call.applied ?? null };
    return { status: 200, headers: {}, body };
  } catch (error) {
    // What is not ours is in the node's log and no caller's business.
    if (!CanopyError.is(error)) throw error;
    const { code, message, hint } = error;
    const status = statusOf(error);
    return { status, headers: status === 503 ? { 'retry-after': '1' } : {}, body: { error: { code, message, hint } } };
  }
}

function statusOf(error: unknown): number {
  if (hasCode(error, 'SYNC_REQUEST_INVALID', 'NAME_INVALID', 'OPTIONS_INVALID')) return 400;
  return hasCode(error, 'APP_UNKNOWN', 'APP_DB_NONE') ? 404 : 503;
}

function parseCall(url: string): SyncCall {
  const { pathname, searchParams } = new URL(url, 'http://node');
  for (const name of searchParams.keys())
    if (name !== 'applied' && name !== 'timeout') throw invalid(`there is no parameter ${name}`);
  const app = checkName('app', decodePart(PATH.exec(pathname)?.[1] ?? ''));
  const applied = searchParams.get('applied');
  const timeout = searchParams.get('timeout');
  const timeoutMs = timeout === null ? TIMEOUT_MS : parseDuration(timeout as Duration);
  if (timeoutMs === undefined || timeoutMs <= 0 || timeoutMs > TIMEOUT_MAX_MS)
    throw invalid('timeout must be a duration of at most 10m, such as 5s');
  if (applied === null) return { app, timeoutMs };
  if (!/^[1-9][0-9]{0,3}$/.test(applied)) throw invalid('applied must be a number of standbys, 1 or more');
  return { app, applied: Number(applied), timeoutMs };
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('the path is not valid');
  }
}

function invalid(problem: string): CanopyError {
  return platformErrors.create('SYNC_REQUEST_INVALID', { problem });
}
