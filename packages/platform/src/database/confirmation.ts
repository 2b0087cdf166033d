/**
 * Waiting until what was committed here is where it has to be. Invariant: resolves only with a sync that the database made
 * under the epoch in which the commit was; a later term proves nothing about it.
 */
import {
  abortable,
  type Clock,
  coreErrors,
  type Durability,
  type Duration,
  messageOf,
  optionsInvalid,
  type Position,
  type Promotable,
  parseDuration,
  withDeadline,
} from '@canopy/core';

/** Bound on a confirmation where the caller names none. */
const CONFIRM_TIMEOUT_MS = 10_000;
/** How long an aborted confirmation may take to say what it knows. */
const ABORT_GRACE_MS = 1000;

export interface ConfirmOptions {
  /** Default `replicated`: a quorum of the log's servers has it. `{ applied: n }`: n standbys have it in their files, too. */
  readonly durability?: Durability | undefined;
  /** Default 10s. */
  readonly timeout?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws OPTIONS_INVALID. */
export function checkConfirmOptions(about: string, options: { durability?: unknown; timeout?: unknown }): number {
  const { durability = 'replicated', timeout } = options;
  const applied = (durability as { applied?: unknown } | null)?.applied;
  const isKnown = ['async', 'replicated'].includes(durability as string);
  const timeoutMs = timeout === undefined ? CONFIRM_TIMEOUT_MS : parseDuration(timeout);
  const wrong = [
    ...(isKnown || (Number.isSafeInteger(applied) && Number(applied) > 0)
      ? []
      : [{ field: 'durability', problem: 'must be "async", "replicated" or { applied: n } with n from 1' }]),
    ...(timeoutMs !== undefined && timeoutMs > 0
      ? []
      : [{ field: 'timeout', problem: 'must be a duration such as "5s"' }]),
  ];
  if (wrong.length > 0) throw optionsInvalid(about, wrong);
  return timeoutMs as number;
}

/** Rejects as the database's sync does, with DEADLINE_EXCEEDED, or with the signal's reason. */
export async function confirm(
  database: Promotable,
  clock: Clock,
  options: { readonly durability: Durability; readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Position> {
  const { durability, timeoutMs, signal } = options;
  const late = new AbortController();
  const ended = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  const timer = clock.timer(timeoutMs, () => {
    const why = database.status().problem ?? 'the log has not answered: NATS may be away';
    late.abort(coreErrors.create('DEADLINE_EXCEEDED', { operation: `confirming a commit (${why})`, timeoutMs }));
  });
  const syncing = database.sync({ signal: ended, durability });
  try {
    return await abortable(syncing, ended);
  } catch (error) {
    if (!ended.aborted) throw error;
    // The database knows more than that time is up: how many standbys had it.
    return await withDeadline(clock, 'confirming', ABORT_GRACE_MS, syncing).catch((told: unknown) => {
      throw isOwn(told) ? told : ended.reason;
    });
  } finally {
    timer.cancel();
  }
}

/** Says more than that somebody gave up. */
function isOwn(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name !== 'AbortError' && code !== 'DEADLINE_EXCEEDED' && messageOf(error) !== '';
}
