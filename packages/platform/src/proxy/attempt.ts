/**
 * One try to get a request answered: a connection, the request with its body, and the head of a response, each within
 * its time. It says exactly how far a failed try got, because that decides whether the request may be sent again.
 */
import { type Agent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { Clock } from '@canopy/core';
import type { ReplayBody } from './replay-body.ts';
import type { AttemptFailure } from './routing.ts';

export interface AttemptOptions {
  readonly clock: Clock;
  readonly agent: Agent;
  /** `http://host:port`. */
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: ReplayBody;
  /**
   * Ask the other proxy before sending the body (there must be one). Until it has agreed, its backend has seen nothing:
   * it writes no byte to it before the body's first. So a try that ends before that is known to have done nothing.
   */
  readonly expectContinue: boolean;
  /** Called just before the first byte of the body is read. */
  readonly onBody: () => void;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  /** Silence after the head of the response that ends it. */
  readonly idleTimeoutMs: number;
  /** Ends the attempt: the client has gone, or its body grew too large. */
  readonly signal: AbortSignal;
  /** The requests go elsewhere now: ends the attempt as failed, unless the head of a response is there. */
  readonly moved: AbortSignal;
}

export type AttemptResult =
  | { readonly type: 'answered'; readonly response: IncomingMessage; readonly cancel: () => void }
  | { readonly type: 'aborted' }
  | AttemptFailure;

/** Never rejects. */
export function attempt(options: AttemptOptions): Promise<AttemptResult> {
  const { clock, body, signal } = options;
  return new Promise((resolve) => {
    if (signal.aborted || options.moved.aborted) {
      resolve(signal.aborted ? { type: 'aborted' } : { type: 'refused' });
      return;
    }
    let isSent = false;
    let isTimedOut = false;
    const url = new URL(options.origin);
    const headers = options.expectContinue ? { ...options.headers, expect: '100-continue' } : options.headers;
    const upstream = httpRequest({
      agent: options.agent,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 80 : Number(url.port),
      method: options.method,
      path: options.path,
      headers,
    });
    const cancel = (): void => {
      upstream.destroy();
    };
    const settle = (result: AttemptResult): void => {
      connectTimer.cancel();
      responseTimer.cancel();
      if (result.type !== 'answered') {
        signal.removeEventListener('abort', onAbort);
        body.detach();
      }
      options.moved.removeEventListener('abort', onMoved);
      resolve(result);
    };
    const onAbort = (): void => {
      settle({ type: 'aborted' });
      cancel();
    };
    const onMoved = (): void => {
      settle(isSent ? { type: 'broken' } : { type: 'refused' });
      cancel();
    };
    const expire = (): void => {
      isTimedOut = true;
      settle(isSent ? { type: 'timeout' } : { type: 'refused' });
      cancel();
    };
    const connectTimer = clock.timer(options.connectTimeoutMs, () => {
      if (!isSent) expire();
    });
    const responseTimer = clock.timer(options.responseTimeoutMs, expire);
    signal.addEventListener('abort', onAbort, { once: true });
    options.moved.addEventListener('abort', onMoved, { once: true });

    const sendBody = (): void => {
      if (signal.aborted || isTimedOut || options.moved.aborted) return;
      connectTimer.cancel();
      isSent = true;
      options.onBody();
      body.attach(upstream);
    };
    upstream.on('socket', (socket) => {
      const connected = (): void => {
        if (!options.expectContinue) sendBody();
      };
      if (socket.connecting) socket.once('connect', connected);
      else connected();
    });
    upstream.once('continue', sendBody);
    upstream.once('response', (response) => {
      response.once('close', () => signal.removeEventListener('abort', onAbort));
      upstream.setTimeout(options.idleTimeoutMs, () => upstream.destroy(new Error('silent for too long')));
      settle({ type: 'answered', response, cancel });
    });
    // After an answer the response's own 'error' or 'close' tells; here it only must not be uncaught.
    upstream.on('error', () => settle(isSent ? { type: 'broken' } : { type: 'refused' }));
  });
}
