/**
 * Upgraded connections (WebSockets and the like): routed and queued as requests are, then passed through byte by byte.
 * What a client writes through one is not held or confirmed: a protocol of its own can't be told apart into writes.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { platformErrors } from '../errors.ts';
import { errorBody, errorHeaders } from './answers.ts';
import { type ExchangeContext, usable } from './exchange.ts';
import { hopCount, isRefusal, REFUSED_HEADER, requestHeaders } from './headers.ts';
import { admit } from './routing.ts';
import { pauseUntil } from './waiting-room.ts';

const RETRY_PAUSE_MS = 50;

/** Resolves when the connection has been joined to a backend, answered, or closed. Never rejects. */
export async function tunnel(
  context: ExchangeContext,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  track: (socket: Duplex) => void,
): Promise<void> {
  const { target, options, env, room, app } = context;
  const gone = new AbortController();
  client.on('error', () => client.destroy());
  client.once('close', () => gone.abort(new DOMException('the client has gone', 'AbortError')));
  const giveUpAt = env.clock.monotonic() + options.queueTimeoutMs;
  const hop = hopCount(request);
  while (!gone.signal.aborted) {
    const route = usable(target.route());
    const admission = admit(route.kind, hop);
    if (admission.action === 'refuse') {
      writeHead(client, 421, 'Misdirected Request', { [REFUSED_HEADER]: 'not active', 'content-length': '0' });
      client.end();
      return;
    }
    if (admission.action === 'forward' && route.kind !== 'none') {
      const origin = route.kind === 'local' ? route.term.backend : `http://${route.address}`;
      const joined = await join(context, request, client, head, {
        origin,
        hop: route.kind === 'local' ? 0 : hop + 1,
        signal: gone.signal,
        track,
      });
      if (joined) return;
    }
    const leftMs = giveUpAt - env.clock.monotonic();
    if (leftMs <= 0) {
      fail(client, app, options.queueTimeoutMs);
      return;
    }
    const pauseMs = admission.action === 'wait' ? leftMs : Math.min(RETRY_PAUSE_MS, leftMs);
    const admitted = await room.run(() =>
      pauseUntil(env.clock, pauseMs, (signal) => target.changed(signal), gone.signal),
    );
    if (!admitted) {
      fail(client, app, 0);
      return;
    }
  }
}

/** False when nothing was reached and another try may be made. */
function join(
  context: ExchangeContext,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  options: { origin: string; hop: number; signal: AbortSignal; track: (socket: Duplex) => void },
): Promise<boolean> {
  const { options: limits, env, metrics, app } = context;
  return new Promise((resolve) => {
    const url = new URL(options.origin);
    const upstream = httpRequest({
      agent: false,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 80 : Number(url.port),
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      headers: {
        ...requestHeaders(request, { hop: options.hop }),
        connection: 'Upgrade',
        upgrade: request.headers.upgrade ?? '',
      },
    });
    const settle = (joined: boolean): void => {
      timer.cancel();
      options.signal.removeEventListener('abort', onAbort);
      resolve(joined);
    };
    const onAbort = (): void => {
      upstream.destroy();
      settle(true);
    };
    const timer = env.clock.timer(limits.responseTimeoutMs, () => upstream.destroy(new Error('no answer in time')));
    options.signal.addEventListener('abort', onAbort, { once: true });
    upstream.on('error', () => settle(false));
    upstream.on('response', (response) => {
      if (isRefusal(response)) {
        upstream.destroy();
        settle(false);
        return;
      }
      writeRaw(client, response, { connection: 'close' });
      response.pipe(client);
      settle(true);
    });
    upstream.on('upgrade', (response, socket, upstreamHead) => {
      metrics.upgrades.add(1, { app });
      options.track(socket);
      writeRaw(client, response, {});
      client.write(upstreamHead);
      socket.write(head);
      socket.on('error', () => client.destroy());
      socket.once('close', () => client.destroy());
      client.once('close', () => socket.destroy());
      socket.pipe(client);
      client.pipe(socket);
      settle(true);
    });
    upstream.end();
  });
}

function fail(client: Duplex, app: string, waitedMs: number): void {
  const error = platformErrors.create('PROXY_NO_ACTIVE', { app, waitedMs });
  const body = errorBody(error);
  writeHead(client, 503, 'Service Unavailable', {
    ...errorHeaders(503, error, { untouched: true }, body),
    connection: 'close',
  });
  client.end(body);
}

/** The response's head as it came (an upgrade's `Connection` and `Upgrade` belong to it), with changes. */
function writeRaw(client: Duplex, response: IncomingMessage, changes: Readonly<Record<string, string>>): void {
  let text = `HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\n`;
  for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) {
    const name = response.rawHeaders[i] as string;
    // A plain answer is written without chunking, its end is the end of the connection.
    if (name.toLowerCase() in changes || name.toLowerCase() === 'transfer-encoding') continue;
    text += `${name}: ${response.rawHeaders[i + 1]}\r\n`;
  }
  for (const [name, value] of Object.entries(changes)) text += `${name}: ${value}\r\n`;
  client.write(`${text}\r\n`, 'latin1');
}

function writeHead(client: Duplex, status: number, reason: string, headers: Readonly<Record<string, string>>): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  client.write(`HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`, 'latin1');
}
