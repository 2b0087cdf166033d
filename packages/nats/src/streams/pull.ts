/**
 * Asking a pull consumer for messages: each request names how many it takes at most, so what can be on its way, and in memory, is
 * bounded by what was asked for. Invariant: messages come in the order in which the consumer sent them; a request
 * counts as open until it is filled or the server ends it.
 */
import { type Msg, nuid, type Subscription } from '@nats-io/transport-node';
import type { JetStreamApi } from '../jetstream/api.ts';
import type { Delivered } from '../jetstream/consumer.ts';
import { parseDelivery } from '../jetstream/message.ts';

export interface PulledMessage extends Delivered {
  /** Where acknowledgements go. */
  readonly reply: string;
}

export interface PullRequest {
  readonly batch: number;
  readonly maxBytes: number;
  /** The server ends the request after this; 0: at once, with what is there. */
  readonly expiresMs: number;
}

interface Open {
  readonly inbox: string;
  left: number;
}

const NS_PER_MS = 1_000_000;
const NO_MESSAGES = 404;
const TIMED_OUT = 408;
const CONFLICT = 409;
/** 409 that end the consumer for us; the others only end a request. */
const GONE = /consumer deleted|push based|shutdown|leadership change|interest|stream deleted/i;

export class PullChannel {
  readonly #api: JetStreamApi;
  readonly #subject: string;
  readonly #inbox = `_INBOX.${nuid.next()}`;
  readonly #subscription: Subscription;
  readonly #onMessage: (message: PulledMessage | undefined) => void;
  readonly #onLost: (reason: string) => void;
  #open: Open[] = [];
  #asked = 0;
  #over = false;

  /** `onLost` is called at most once: the consumer is gone, or its server is. `onMessage` is also called when a request ended, with undefined. */
  constructor(
    api: JetStreamApi,
    stream: string,
    consumer: string,
    onMessage: (message: PulledMessage | undefined) => void,
    onLost: (reason: string) => void,
  ) {
    this.#api = api;
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#onMessage = onMessage;
    this.#onLost = onLost;
    this.#subscription = api.link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (this.#over) return;
        if (error) this.#lose(error.message);
        else this.#take(message);
      },
    });
  }

  /** Messages that were asked for and did not come yet. */
  get outstanding(): number {
    return this.#open.reduce((sum, { left }) => sum + left, 0);
  }

  request({ batch, maxBytes, expiresMs }: PullRequest): void {
    if (this.#over) return;
    this.#asked += 1;
    const inbox = `${this.#inbox}.${this.#asked}`;
    this.#open.push({ inbox, left: batch });
    const body = {
      batch,
      max_bytes: maxBytes,
      ...(expiresMs > 0 ? { expires: expiresMs * NS_PER_MS } : { no_wait: true }),
    };
    this.#api.link.nc.publish(this.#subject, JSON.stringify(body), { reply: inbox });
  }

  close(): void {
    this.#over = true;
    this.#subscription.unsubscribe();
  }

  #lose(reason: string): void {
    if (this.#over) return;
    this.close();
    this.#onLost(reason);
  }

  #take(message: Msg): void {
    const delivery = parseDelivery(message.reply);
    if (delivery === undefined) {
      this.#status(message);
      return;
    }
    const [first] = this.#open;
    if (first !== undefined) {
      first.left -= 1;
      if (first.left <= 0) this.#open.shift();
    }
    this.#onMessage({
      ...delivery,
      reply: message.reply as string,
      subject: message.subject,
      data: message.data,
      header: (key) => message.headers?.get(key) || undefined,
    });
  }

  #status(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (code < 400) return;
    const description = message.headers?.description ?? '';
    const passing = code === NO_MESSAGES || code === TIMED_OUT || (code === CONFLICT && !GONE.test(description));
    if (!passing) {
      this.#lose(`the server ended the reading: ${code} ${description}`);
      return;
    }
    this.#open = this.#open.filter(({ inbox }) => inbox !== message.subject);
    this.#onMessage(undefined);
  }
}
