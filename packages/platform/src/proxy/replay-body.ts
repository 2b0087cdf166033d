/**
 * A request body that can be sent again while it is small: the first `keepBytes` are kept, and as long as no more were
 * read the whole of what was read can be replayed into another attempt. Reading starts with the first attempt and goes
 * no faster than the present sink takes it.
 */
import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';

export class ReplayBody {
  readonly #request: IncomingMessage;
  readonly #keepBytes: number;
  readonly #maxBytes: number;
  readonly #onTooLarge: () => void;
  readonly #kept: Buffer[] = [];
  #read = 0;
  #ended = false;
  #listening = false;
  #sink: Writable | undefined;

  constructor(request: IncomingMessage, options: { keepBytes: number; maxBytes: number; onTooLarge: () => void }) {
    this.#request = request;
    this.#keepBytes = options.keepBytes;
    this.#maxBytes = options.maxBytes;
    this.#onTooLarge = options.onTooLarge;
  }

  /** Nothing that was read has been let go. */
  get isReplayable(): boolean {
    return this.#read <= this.#keepBytes;
  }

  /** Whether the request has a body, as far as its head says. */
  get isPresent(): boolean {
    const length = this.#request.headers['content-length'];
    return this.#request.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0);
  }

  /** Sends the body, from its start, into `sink`; the sink before gets no more. Needs `isReplayable` after the first time. */
  attach(sink: Writable): void {
    this.#sink = sink;
    for (const chunk of this.#kept) sink.write(chunk);
    if (this.#ended) {
      sink.end();
      return;
    }
    if (!this.#listening) this.#listen();
    this.#request.resume();
  }

  /** Stops reading until the next attach. */
  detach(): void {
    this.#sink = undefined;
    if (!this.#ended) this.#request.pause();
  }

  #listen(): void {
    this.#listening = true;
    this.#request.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#request.on('end', () => {
      this.#ended = true;
      this.#sink?.end();
    });
    // An abort of the client shows as the close of its response; without a listener it would be an uncaught error.
    this.#request.on('error', () => {});
  }

  #take(chunk: Buffer): void {
    this.#read += chunk.length;
    if (this.#read > this.#maxBytes) {
      this.detach();
      this.#onTooLarge();
      return;
    }
    if (this.#read <= this.#keepBytes) this.#kept.push(chunk);
    else this.#kept.length = 0;
    const sink = this.#sink;
    if (sink === undefined || sink.destroyed) return;
    if (!sink.write(chunk)) {
      this.#request.pause();
      sink.once('drain', () => {
        if (this.#sink === sink) this.#request.resume();
      });
    }
  }
}
