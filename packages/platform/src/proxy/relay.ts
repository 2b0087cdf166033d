/**
 * Passing a response on. `relay` streams it. `hold` keeps it back until its commit is confirmed: up to 64 KiB are
 * collected until the response has ended (or 250 ms have passed), then confirmed and released; if more follows, it
 * streams with its last chunk kept back until a second confirmation made after the backend had finished. So no client
 * ever holds a complete answer to a write that was not confirmed after the backend's last word.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '@canopy/core';
import { responseHeaders } from './headers.ts';

export const HOLD_BYTES = 64 * 1024;
const HOLD_MS = 250;

export interface RelayOptions {
  readonly fromBackend: boolean;
}

/** Rejects when either side breaks; a client that has got a part of the response sees its connection cut. */
export async function relay(response: IncomingMessage, client: ServerResponse, options: RelayOptions): Promise<void> {
  writeHead(response, client, options);
  await pipeline(response, client);
}

export interface HoldOptions extends RelayOptions {
  readonly clock: Clock;
  readonly confirm: () => Promise<void>;
  /** Called once with the ms that the response was kept back. */
  readonly onReleased: (ms: number) => void;
}

/** What became of a held response. After `confirmed` or `cut` the client has its answer or its broken connection. */
export type HoldResult =
  | { readonly type: 'confirmed' }
  /** Nothing went to the client yet. */
  | { readonly type: 'unconfirmed'; readonly error: unknown }
  /** The backend broke off; nothing went to the client yet. */
  | { readonly type: 'broken' }
  /** It failed after the head had gone: the client's connection was cut. */
  | { readonly type: 'cut'; readonly error: unknown };

export async function hold(
  response: IncomingMessage,
  client: ServerResponse,
  options: HoldOptions,
): Promise<HoldResult> {
  const startedAt = options.clock.monotonic();
  const reader = new ChunkReader(response);
  let collected: Collected;
  try {
    collected = await collect(reader, options.clock);
  } catch {
    return { type: 'broken' };
  }
  try {
    await options.confirm();
  } catch (error) {
    response.destroy();
    return { type: 'unconfirmed', error };
  }
  options.onReleased(options.clock.monotonic() - startedAt);
  writeHead(response, client, options);
  if (collected.ended) {
    client.end(Buffer.concat(collected.chunks));
    return { type: 'confirmed' };
  }
  try {
    await streamHoldingLast(reader, collected.chunks, client, options.confirm);
    return { type: 'confirmed' };
  } catch (error) {
    response.destroy();
    client.destroy();
    return { type: 'cut', error };
  }
}

interface Collected {
  readonly chunks: Buffer[];
  readonly ended: boolean;
}

async function collect(reader: ChunkReader, clock: Clock): Promise<Collected> {
  const chunks: Buffer[] = [];
  let size = 0;
  const late = Promise.withResolvers<'late'>();
  const timer = clock.timer(HOLD_MS, () => late.resolve('late'));
  try {
    while (size < HOLD_BYTES) {
      const next = await Promise.race([reader.peek(), late.promise]);
      if (next === 'late') return { chunks, ended: false };
      reader.take();
      if (next === undefined) return { chunks, ended: true };
      chunks.push(next);
      size += next.length;
    }
    return { chunks, ended: false };
  } finally {
    timer.cancel();
  }
}

async function streamHoldingLast(
  reader: ChunkReader,
  first: readonly Buffer[],
  client: ServerResponse,
  confirm: () => Promise<void>,
): Promise<void> {
  let last: Buffer = Buffer.concat([...first]);
  for (;;) {
    const next = await reader.peek();
    reader.take();
    if (next === undefined) break;
    if (client.destroyed) throw new Error('the client has gone');
    if (last.length > 0 && !client.write(last)) await drained(client);
    else if (!client.headersSent) client.flushHeaders();
    last = next;
  }
  await confirm();
  client.end(last);
}

function drained(client: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      client.off('drain', done);
      client.off('close', done);
      resolve();
    };
    client.on('drain', done);
    client.on('close', done);
  });
}

function writeHead(response: IncomingMessage, client: ServerResponse, options: RelayOptions): void {
  const headers = responseHeaders(response, options);
  client.writeHead(response.statusCode ?? 502, response.statusMessage ?? '', headers);
}

/** Reads chunks one at a time, with back-pressure, so that a waiting reader can be left and come back. */
class ChunkReader {
  readonly #iterator: AsyncIterator<Buffer>;
  #next: Promise<Buffer | undefined> | undefined;

  constructor(response: IncomingMessage) {
    this.#iterator = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The next chunk, undefined at the end; the same until it is taken. */
  peek(): Promise<Buffer | undefined> {
    if (this.#next === undefined) {
      this.#next = this.#iterator.next().then((result) => (result.done ? undefined : result.value));
      this.#next.catch(() => {});
    }
    return this.#next;
  }

  take(): void {
    this.#next = undefined;
  }
}
