/**
 * Requests on one connection and the answers to them, over one subscription. The client library's own way makes an error,
 * with its stack, for each request that succeeds, which is a tenth of what a small write costs. Invariant: a request ends
 * once: by its answer, its deadline, its signal, a refusal of the server, or a break of the connection.
 */
import type { Clock, Timer } from '@canopy/core';
import {
  createInbox,
  errors,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node';

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: MsgHdrs | undefined;
}

interface Question {
  readonly subject: string;
  readonly resolve: (message: Msg) => void;
  readonly reject: (reason: unknown) => void;
}

const NO_RESPONDERS = 503;

export class Answers {
  readonly #nc: NatsConnection;
  readonly #clock: Clock;
  readonly #inbox = `${createInbox()}.`;
  readonly #questions = new Map<string, Question>();
  #subscription: Subscription | undefined;
  #asked = 0;

  constructor(nc: NatsConnection, clock: Clock) {
    this.#nc = nc;
    this.#clock = clock;
  }

  /** The answer. Throws nats.js's TimeoutError, NoRespondersError, PermissionViolationError, or the signal's reason. */
  ask(subject: string, data: Uint8Array, options: RequestOptions): Promise<Msg> {
    const { timeoutMs, signal, headers } = options;
    const token = String(++this.#asked);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#questions.get(token)?.reject(signal?.reason);
      let timer: Timer | undefined;
      const end = (): void => {
        this.#questions.delete(token);
        timer?.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      this.#questions.set(token, {
        subject,
        resolve: (message) => {
          end();
          resolve(message);
        },
        reject: (reason) => {
          end();
          reject(reason);
        },
      });
      timer = this.#clock.timer(Math.max(1, timeoutMs), () =>
        this.#questions.get(token)?.reject(new errors.TimeoutError()),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        this.#listen();
        const reply = this.#inbox + token;
        this.#nc.publish(subject, data, headers === undefined ? { reply } : { reply, headers });
      } catch (error) {
        this.#questions.get(token)?.reject(error);
      }
    });
  }

  /** Nothing more will be answered on the connection as it was. */
  breakAll(error: Error): void {
    for (const question of [...this.#questions.values()]) question.reject(error);
  }

  /** The server said no to something that was published. */
  refused(error: Error): void {
    if (!(error instanceof errors.PermissionViolationError) || error.operation !== 'publish') return;
    for (const question of [...this.#questions.values()]) {
      if (question.subject === error.subject) question.reject(error);
    }
  }

  #listen(): void {
    if (this.#subscription !== undefined && !this.#subscription.isClosed()) return;
    this.#subscription = this.#nc.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        // May not listen for answers: so for none of those that are awaited.
        if (error) this.breakAll(error);
        else this.#answered(message);
      },
    });
  }

  #answered(message: Msg): void {
    const question = this.#questions.get(message.subject.slice(this.#inbox.length));
    if (question === undefined) return;
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS)
      question.reject(new errors.NoRespondersError(question.subject));
    else question.resolve(message);
  }
}
