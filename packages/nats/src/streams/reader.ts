/**
 * Reading a stream in order, for ever. Each pass has a consumer of its own, in the memory of one server, that begins behind what was
 * delivered last and is never trusted alone: deliveries are numbered, a silent pass must prove that nothing is missing, and a
 * pass that is lost is followed by another. Invariant: a reader gets every message that is there once, in order, or is told `trimmed`.
 */
import { backoffMs, CanopyError, messageOf } from '@canopy/core';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { JetStreamRefusal, JS, refusedWith } from '../jetstream/failures.ts';
import type { Standing } from './ends.ts';
import { OneByOne } from './one-by-one.ts';
import type { StreamReadEvent, StreamReadOptions } from './port.ts';
import { PassLost, ReadPass } from './read-pass.ts';

const REOPEN = { initialMs: 50, maxMs: 2000 } as const;

/** What removes consumers from the server is put into `removals` until it is done. */
export function readStream(
  api: JetStreamApi,
  stream: string,
  options: StreamReadOptions,
  removals: Set<Promise<void>>,
): AsyncIterableIterator<StreamReadEvent, undefined> {
  const { closing } = api.link;
  const signal = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
  return new OneByOne(passes(api, stream, options, signal, removals), signal);
}

async function* passes(
  api: JetStreamApi,
  stream: string,
  options: StreamReadOptions,
  signal: AbortSignal,
  removals: Set<Promise<void>>,
): AsyncGenerator<readonly StreamReadEvent[], void, undefined> {
  const standing: Standing = { position: options.after ?? 0, created: undefined };
  /** Said so, and nothing was seen since. */
  let interrupted = false;
  for (let round = 0; !signal.aborted; round++) {
    const pass = new ReadPass(api, stream, options.filter ?? '>', standing, signal, removals);
    let reason: string | undefined;
    try {
      for await (const batch of pass.batches()) {
        if (batch.some(({ type }) => type !== 'trimmed')) [interrupted, round] = [false, 0];
        yield batch;
      }
    } catch (error) {
      if (signal.aborted) return;
      reason = passingReason(stream, error);
    } finally {
      pass.close();
    }
    if (reason !== undefined && !interrupted) {
      interrupted = true;
      api.env.log.warn('nats_reading_interrupted', { stream, reason });
      yield [{ type: 'interrupted', reason }];
    }
    await api.env.clock.sleep(backoffMs(round, REOPEN, api.env.random), { signal }).catch(() => {});
  }
}

/** Why the pass ended; throws when no other pass would do better. */
function passingReason(stream: string, error: unknown): string {
  if (error instanceof PassLost) return error.message;
  if (refusedWith(error, JS.streamNotFound)) throw natsErrors.create('STREAM_MISSING', { stream }, error);
  const passes =
    error instanceof JetStreamRefusal ||
    (CanopyError.is(error) &&
      ['DEADLINE_EXCEEDED', 'NATS_UNREACHABLE', 'JETSTREAM_UNAVAILABLE'].includes(error.code as string));
  if (!passes) throw error;
  return messageOf(error);
}
