/** One question to a health endpoint: GET, one fresh connection, an answer or a reason within the time. Never rejects. */
import { get as getHttp, type IncomingMessage } from 'node:http';
import type { Clock } from '@canopy/core';
import type { HealthSample } from './health-state.ts';

/** As much of an unhappy answer's body as an operator needs. */
const BODY_BYTES = 200;

/** Good is any status of 200 to 299. */
export async function probe(
  url: URL,
  clock: Clock,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<HealthSample> {
  // Few backends speak TLS to their own machine; the others don't pay for it.
  const get = url.protocol === 'https:' ? (await import('node:https')).get : getHttp;
  return new Promise((resolve) => {
    const finish = (ok: boolean, detail: string): void => {
      timer.cancel();
      options.signal?.removeEventListener('abort', onAbort);
      resolve({ ok, detail });
      request.destroy();
    };
    const onAbort = (): void => finish(false, 'cancelled');
    const request = get(url, { agent: false, headers: { 'user-agent': 'canopy-health' } }, (response) => {
      void shortBody(response).then((body) => {
        const status = response.statusCode ?? 0;
        const ok = status >= 200 && status < 300;
        finish(ok, ok || body === '' ? String(status) : `${status} ${body}`);
      });
    });
    const timer = clock.timer(options.timeoutMs, () => finish(false, `no answer within ${options.timeoutMs} ms`));
    request.on('error', (error: NodeJS.ErrnoException) => finish(false, describe(error)));
    if (options.signal?.aborted) onAbort();
    else options.signal?.addEventListener('abort', onAbort, { once: true });
  });
}

async function shortBody(response: IncomingMessage): Promise<string> {
  if ((response.statusCode ?? 0) < 300) return '';
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk as string;
      if (text.length >= BODY_BYTES) break;
    }
  } catch {}
  return text.slice(0, BODY_BYTES).replace(/\s+/g, ' ').trim();
}

function describe(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused';
  if (error.code === 'ECONNRESET') return 'connection reset';
  return error.message || error.code || 'connection failed';
}
