/**
 * The one write a warden makes: deleting a lease's key at the revision it knows. Wire form as every KV client's delete,
 * plus the expected revision, so that it can never remove somebody else's lease. Do not change: other programs watch
 * these keys. When the dead parent's last renewal landed without its answer being heard, the revision is one too low; the
 * key is then read, and deleted at its present revision only if it still carries the term's token.
 */
import type { Clock } from '@canopy/core';
import type { HeldLease } from './protocol.ts';

/** JetStream's codes for "wrong last sequence". */
const CONFLICT_CODES: readonly number[] = [10071, 10164];
const ATTEMPT_MS = 500;
const PAUSE_MS = 25;
const PAUSE_MAX_MS = 250;
/** Each step follows a renewal that the parent itself made; it can't have had many under way. */
const FOLLOW_MAX = 3;

export interface ReleaseLink {
  request(subject: string, body: string, headers: Readonly<Record<string, string>>, timeoutMs: number): Promise<string>;
  redial(): Promise<void>;
}

/** `refused`: somebody else has the lease, or it is gone. `unreachable`: no answer until `until` (monotonic ms). */
export type ReleaseOutcome = 'released' | 'refused' | 'unreachable';

export async function releaseLease(
  link: ReleaseLink,
  clock: Clock,
  lease: HeldLease,
  until: number,
): Promise<ReleaseOutcome> {
  let revision = lease.revision;
  let followed = 0;
  for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
    const begun = clock.monotonic();
    const outcome = await attempt(() => deleteAt(link, lease, revision));
    if (outcome === 'released') return outcome;
    if (outcome === 'refused') {
      if (lease.token === undefined || followed === FOLLOW_MAX) return outcome;
      const present = await attempt(() => revisionOfToken(link, lease));
      if (present === 'refused') return present;
      if (typeof present === 'number') {
        revision = present;
        followed += 1;
        continue;
      }
    }
    if (clock.monotonic() + pauseMs >= until) return 'unreachable';
    // Silence is a connection to a dead server; a quick "nobody" is JetStream electing, where dialling does not help.
    if (clock.monotonic() - begun >= ATTEMPT_MS) await link.redial();
    await clock.sleep(pauseMs);
  }
}

/** Undefined when there was no usable answer: a timeout, nobody listening, JetStream electing. */
async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch {
    return undefined;
  }
}

async function deleteAt(
  link: ReleaseLink,
  lease: HeldLease,
  revision: number,
): Promise<'released' | 'refused' | undefined> {
  const fields = { 'KV-Operation': 'DEL', 'Nats-Expected-Last-Subject-Sequence': String(revision) };
  const answer = parse(await link.request(subjectOf(lease), '', fields, ATTEMPT_MS));
  if (typeof answer.seq === 'number' && answer.error === undefined) return 'released';
  return CONFLICT_CODES.includes(errorCodeOf(answer)) ? 'refused' : undefined;
}

/** The key's present revision if it still carries the term's token. */
async function revisionOfToken(link: ReleaseLink, lease: HeldLease): Promise<number | 'refused'> {
  const body = JSON.stringify({ last_by_subj: subjectOf(lease) });
  const answer = parse(await link.request(`$JS.API.STREAM.MSG.GET.KV_${lease.bucket}`, body, {}, ATTEMPT_MS));
  const message = answer.message as { seq?: number; data?: string } | undefined;
  if (message?.seq === undefined) {
    // 10037: no message for this subject. Any other error is the server's trouble and worth another try.
    if (errorCodeOf(answer) === 10037) return 'refused';
    throw new Error('no answer about the key');
  }
  // A deletion has no data.
  if (message.data === undefined) return 'refused';
  const value = parse(Buffer.from(message.data, 'base64').toString());
  return value.token === lease.token ? message.seq : 'refused';
}

function subjectOf(lease: HeldLease): string {
  return `$KV.${lease.bucket}.${lease.key}`;
}

function errorCodeOf(answer: Readonly<Record<string, unknown>>): number {
  return (answer.error as { err_code?: number } | undefined)?.err_code ?? 0;
}

function parse(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
