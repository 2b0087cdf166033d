/**
 * One JSON request over a kept-alive connection, with a bound on its time. What comes back is an answer or the reason why
 * there is none; it never throws. A connection is not used again after a request on it failed.
 */
import { Agent, request } from 'node:http';
import { type Clock, messageOf } from '@canopy/core';

export type Reply =
  | { readonly type: 'answer'; readonly status: number; readonly body: unknown }
  | { readonly type: 'none'; readonly reason: string };

export interface HttpClientOptions {
  readonly clock: Clock;
  /** Connections per target. */
  readonly connections: number;
  /** From the call to the last byte of the answer. */
  readonly timeoutMs: number;
}

/** More than any answer this client asks for. */
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #agent: Agent;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connections, maxFreeSockets: options.connections });
  }

  send(method: string, url: string, body?: unknown): Promise<Reply> {
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers =
        text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const call = request(url, { method, agent: this.#agent, headers });
      const done = (reply: Reply): void => {
        timer.cancel();
        resolve(reply);
      };
      const fail = (error: unknown): void => {
        call.destroy();
        done({ type: 'none', reason: messageOf(error) });
      };
      const timer = this.#options.clock.timer(this.#options.timeoutMs, () =>
        fail(new Error(`no answer within ${this.#options.timeoutMs} ms`)),
      );
      call.on('error', fail);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size > ANSWER_MAX_BYTES) fail(new Error(`the answer is larger than ${ANSWER_MAX_BYTES} bytes`));
        });
        response.on('end', () =>
          done({ type: 'answer', status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks)) }),
        );
        response.on('error', fail);
        response.on('close', () => {
          if (!response.complete) fail(new Error('the connection ended in the middle of the answer'));
        });
      });
      call.end(text);
    });
  }

  /** Ends every connection; requests under way come back without an answer. */
  close(): void {
    this.#agent.destroy();
  }
}

/** JSON, or the text where it isn't. */
function parse(bytes: Buffer): unknown {
  const text = bytes.toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
